// Package hangup keeps SIGHUP from ending the daemon before it has come to where it listens for it. Until
// a program says otherwise SIGHUP kills, and a Go program of this size takes milliseconds to come to its
// main. This package is initialised long before that and, where the program was linked with -E and Entry, its
// first instructions ignore the signal. It must never change what SIGHUP does to any verb but run.
package hangup

import (
	"os"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Entry is the symbol at which a program for amd64 begins that is linked with -ldflags "-E Entry".
const Entry = "relinkd/internal/hangup.entry"

// What entry has left: whether the program began there, and the kernel's struct sigaction of SIGHUP before
// that, of which the first word is the handler.
var (
	entered   uint64
	inherited [4]uint64
)

const sigIgnore = 1 // SIG_IGN

var caught = catch()

func catch() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGHUP)
	return c
}

// Caught is where SIGHUP arrives, one that came before main included unless it came before Go could catch
// it: that one is lost, and asked for nothing, as no configuration had been read yet.
func Caught() <-chan os.Signal { return caught }

// Default gives SIGHUP back the effect that the process was started with.
func Default() {
	signal.Stop(caught) // where entry has ignored it, Go takes that for what was inherited
	if entered != 0 && inherited[0] != sigIgnore {
		var plain [4]uint64
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGHUP), uintptr(unsafe.Pointer(&plain)), 0, 8, 0, 0)
	}
	select {
	case <-caught:
		_ = unix.Kill(unix.Getpid(), unix.SIGHUP)
	default:
	}
}
