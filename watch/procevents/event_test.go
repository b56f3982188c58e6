package procevents

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wireEvent makes the message that the kernel makes of an event: what, and the words of its data.
func wireEvent(what uint32, at int64, data ...uint32) []byte {
	m := message(0, 0)
	m = append(m[:eventWhat], make([]byte, 40)...) // struct proc_event is 40 bytes
	order := binary.NativeEndian
	order.PutUint32(m[msgLength:], uint32(len(m)))
	order.PutUint16(m[connectorLength:], 40)
	order.PutUint32(m[eventWhat:], what)
	order.PutUint64(m[eventAt:], uint64(at))
	for i, word := range data {
		order.PutUint32(m[eventData+4*i:], word)
	}
	return m
}

func wireFork(pid, child int32, at int64) []byte {
	return wireEvent(whatFork, at, uint32(pid), uint32(pid), uint32(child), uint32(child))
}

func wireExec(pid int32, at int64) []byte { return wireEvent(whatExec, at, uint32(pid), uint32(pid)) }

func wireExit(pid int32, at int64) []byte {
	return wireEvent(whatExit, at, uint32(pid), uint32(pid), 0, 17, 1, 1)
}

// patched is m with a 32-bit word changed.
func patched(m []byte, at int, word uint32) []byte {
	m = append([]byte(nil), m...)
	binary.NativeEndian.PutUint32(m[at:], word)
	return m
}

func TestCutEvent(t *testing.T) {
	exec := wireExec(7, 42)
	for name, c := range map[string]struct {
		in   []byte
		want Event
	}{
		"acknowledged": {wireEvent(whatNone, 1, 0), Event{Kind: acknowledged, At: 1}},
		"refused":      {patched(wireEvent(whatNone, 1, 13), connectorAck, 9), Event{Kind: acknowledged, At: 1, ack: ack{to: 9, errno: 13}}},
		"fork":         {wireFork(7, 8, 42), Event{Kind: Fork, PID: 8, At: 42}},
		"thread":       {wireEvent(whatFork, 42, 7, 7, 9, 8), Event{At: 42}},
		"exec":         {exec, Event{Kind: Exec, PID: 7, At: 42}},
		"exec by a thread, which takes the process over": {wireEvent(whatExec, 42, 9, 7), Event{Kind: Exec, PID: 7, At: 42}},
		"exit":                    {wireExit(7, 42), Event{Kind: Exit, PID: 7, At: 42}},
		"a thread's exit":         {wireEvent(whatExit, 42, 9, 7), Event{At: 42}},
		"credentials":             {wireEvent(4, 42, 7, 7), Event{At: 42}},
		"another connector's":     {patched(exec, connectorIdx, 4), Event{}},
		"of another value":        {patched(exec, connectorVal, 2), Event{}},
		"netlink's own":           {patched(exec, msgType, 2), Event{}},
		"more data than we know":  {patched(append(exec[:len(exec):len(exec)], 0, 0, 0, 0), msgLength, uint32(len(exec)+4)), Event{Kind: Exec, PID: 7, At: 42}},
		"the shortest that there": {patched(exec[:minMessage], msgLength, minMessage), Event{Kind: Exec, PID: 7, At: 42}},
	} {
		got, rest, err := Cut(c.in)
		if err != nil || len(rest) != 0 {
			t.Errorf("%s: %v, %d bytes left", name, err, len(rest))
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Event{}, ack{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	for name, in := range map[string][]byte{
		"nothing":       {},
		"cut off":       exec[:minMessage-1],
		"too long":      patched(exec, msgLength, uint32(len(exec)+1)),
		"too short":     patched(exec, msgLength, minMessage-1),
		"no length":     patched(exec, msgLength, 0),
		"a huge length": patched(exec, msgLength, 1<<32-1),
	} {
		if _, _, err := Cut(in); !errors.Is(err, errMessage) {
			t.Errorf("%s: %v, want %v", name, err, errMessage)
		}
	}
}

// Several messages of one datagram come out in their order, whether or not they are padded.
func TestCutEvents(t *testing.T) {
	odd := patched(append(wireExec(1, 1), 0, 0, 0, 0), msgLength, 77)
	var got []int32
	for rest := append(append(odd, wireFork(1, 2, 2)...), wireExit(3, 3)...); len(rest) > 0; {
		e, more, err := Cut(rest)
		if err != nil {
			t.Fatal(err)
		}
		got, rest = append(got, e.PID), more
	}
	if diff := cmp.Diff([]int32{1, 2, 3}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever comes, decoding ends, takes something each time, and stays within what came.
func FuzzCutEvent(f *testing.F) {
	for _, m := range [][]byte{wireEvent(whatNone, 1, 0), wireFork(1, 2, 3), wireExec(1, 2), wireExit(1, 2), {}} {
		f.Add(m)
		f.Add(append(m, m...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for rest := in; len(rest) > 0; {
			e, more, err := Cut(rest)
			if err != nil {
				return
			}
			if len(more) >= len(rest) {
				t.Fatalf("%d bytes left of %d", len(more), len(rest))
			}
			if e.Kind < Fork && e.PID != 0 {
				t.Fatalf("event of no process: %+v", e)
			}
			rest = more
		}
	})
}

// The filter drops by the same words that the decoder reads.
func TestMessageLayout(t *testing.T) {
	m := message(opListen, 77)
	order := binary.NativeEndian
	if len(m) != 40 || order.Uint32(m) != 40 || order.Uint16(m[4:]) != 3 || order.Uint32(m[16:]) != 1 ||
		order.Uint32(m[20:]) != 1 || order.Uint32(m[28:]) != 77 || order.Uint16(m[32:]) != 4 || order.Uint32(m[36:]) != 1 {
		t.Errorf("the request to listen is % x", m)
	}
}
