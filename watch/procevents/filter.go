package procevents

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// filter is a classic BPF program that lets only what is counted pass: the fork, exec and exit of
// processes, not of threads. A busy server begins and ends threads far more often than processes, and
// every message that reaches us costs a wakeup.
//
// It also drops the acknowledgement of listening, so it is attached after that.
func filter() []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		same  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X
		keep  = unix.BPF_MISC | unix.BPF_TAX
		end   = unix.BPF_RET | unix.BPF_K
	)
	return []unix.SockFilter{
		{Code: load, K: eventWhat},
		{Code: equal, K: wire(whatExec), Jt: 11}, // pass
		{Code: equal, K: wire(whatFork), Jt: 2},  // fork
		{Code: equal, K: wire(whatExit), Jt: 5},  // exit
		{Code: end, K: 0},                        // drop
		{Code: load, K: forkThread},              // fork
		{Code: keep},
		{Code: load, K: forkGroup},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: 3}, // compare
		{Code: load, K: processThread},           // exit
		{Code: keep},
		{Code: load, K: processGroup},
		{Code: same, Jf: 1},       // compare
		{Code: end, K: 1<<32 - 1}, // pass
		{Code: end, K: 0},         // drop
	}
}

// wire is how a filter sees a word of the machine: it loads words as if they came from the network.
func wire(word uint32) uint32 {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], word)
	return binary.BigEndian.Uint32(b[:])
}
