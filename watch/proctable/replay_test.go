package proctable

import (
	"bytes"
	"compress/gzip"
	"encoding/gob"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/pool"
	"relinkd/watch/procevents"
)

var record = flag.Bool("record", false, "record the events of a storm anew in testdata")

// recording is a stream of datagrams as the kernel wrote them, and what was found of each process that
// they named.
type recording struct {
	Messages []recordedMessage
	Counts   []int // of the executables when all was over
	Peaks    []int
}

type recordedMessage struct {
	Data  []byte
	Place int // of the process that it names
}

const recordedFile = "storm.gob.gz"

// What the kernel wrote in a storm leads to the counts that were found then.
func TestReplayRecorded(t *testing.T) {
	if *record {
		recordStorm(t)
	}
	r := readRecording(t)
	replayed := newTracked(len(r.Counts))
	replayed.census(world{}, time.Now(), func() {}, func() {})
	peaks := make([]int, len(r.Counts))
	for _, m := range r.Messages {
		e, _, err := procevents.Cut(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		c := replayed.apply(e, func(int32) (fsys.ID, bool) { return fsys.ID{Dev: 1, Ino: uint64(m.Place)}, m.Place != none })
		c.correct(replayed.counts)
		for i, n := range replayed.counts {
			peaks[i] = max(peaks[i], n)
		}
	}
	if !slices.Equal(replayed.counts, r.Counts) || !slices.Equal(peaks, r.Peaks) {
		t.Errorf("counts %v, peaks %v; they were %v and %v", replayed.counts, peaks, r.Counts, r.Peaks)
	}
	if len(r.Messages) < 5000 || slices.Max(peaks) < 10 {
		t.Errorf("%d messages, peaks %v: this proves nothing", len(r.Messages), peaks)
	}
}

func readRecording(t *testing.T) (r recording) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", recordedFile))
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(unzipped).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// recordStorm records a storm of three executables.
func recordStorm(t *testing.T) {
	const lanes = 3
	exes := files(t, "", lanes)
	conn, err := procevents.Subscribe(procevents.ReceiveBuffer)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	table := newTable(t, "/proc")
	r := recording{Peaks: make([]int, lanes)}
	known := newTracked(0)
	for i, exe := range exes {
		known.in[idOf(t, exe)] = i
	}
	known.census(world{}, time.Now(), func() {}, func() {})
	storms := make([]storm, lanes)
	var lane sync.WaitGroup
	m := newMaster(t)
	for i := range storms {
		lane.Go(func() {
			storms[i].run(t, exes[i], 10*i+1, 600)
			for range i + 1 {
				m.start(exes[i])
			}
		})
	}
	over := make(chan struct{})
	go func() { lane.Wait(); close(over) }()
	for ended := false; ; {
		n, errno := conn.Receive()
		if errno == unix.EAGAIN {
			if ended {
				break
			}
			select {
			case <-over:
				ended = true
			case <-time.After(time.Millisecond):
			}
			continue
		}
		if errno != 0 {
			t.Fatal(errno)
		}
		for i := range n {
			data := conn.Datagram(i)
			e, _, err := procevents.Cut(data)
			if err != nil {
				t.Fatal(err)
			}
			c := known.apply(e, table.census.executable)
			c.correct(known.counts)
			for i, n := range known.counts {
				r.Peaks[i] = max(r.Peaks[i], n)
			}
			r.Messages = append(r.Messages, recordedMessage{bytes.Clone(data), known.known.of(e.PID)})
		}
	}
	r.Counts = known.counts
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	if err := gob.NewEncoder(zipped).Encode(r); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", recordedFile), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// made is the events of a machine that makes more of them than this one could: processes begin, and some
// end at once and some later.
type made struct {
	random  *rand.Rand
	alive   int // processes at most that do not end at once
	nextPID int32
	lasting []int32
	ended   []int32            // whose pids come again
	events  []procevents.Event // that were made and not taken yet
}

const (
	firstPID = 2    // 1 is not to end
	restPIDs = 2000 // ended processes before a pid is used again
)

func newMade(alive int) *made {
	return &made{random: rand.New(rand.NewPCG(1, 2)), alive: alive, nextPID: firstPID}
}

// next is the next event. It has no time.
func (m *made) next() (e procevents.Event) {
	if len(m.events) == 0 {
		m.step()
	}
	e, m.events = m.events[0], m.events[1:]
	return e
}

// step makes one process begin, and perhaps another end: three or four events.
func (m *made) step() {
	pid := m.nextPID
	if len(m.ended) > restPIDs {
		pid, m.ended = m.ended[0], m.ended[1:]
	} else {
		m.nextPID++
	}
	m.events = append(m.events, procevents.Event{Kind: procevents.Fork, PID: pid}, procevents.Event{Kind: procevents.Exec, PID: pid})
	m.lasting = append(m.lasting, pid)
	if i := len(m.lasting) - 1; m.random.IntN(2) == 0 {
		m.end(i)
	} else if len(m.lasting) > m.alive {
		m.end(m.random.IntN(len(m.lasting)))
	}
}

func (m *made) end(i int) {
	m.events = append(m.events, procevents.Event{Kind: procevents.Exit, PID: m.lasting[i]})
	m.ended = append(m.ended, m.lasting[i])
	m.lasting[i] = m.lasting[len(m.lasting)-1]
	m.lasting = m.lasting[:len(m.lasting)-1]
}

// What the policy is asked to hold, and how fast.
const (
	replayCopies  = 60
	replayAlive   = 6000
	eventsASecond = 20_000 // more than a small machine can make
)

func replayPolicy(threshold int) pool.Policy {
	return pool.Policy{Threshold: threshold, RotateAt: 0.9, MaxCopies: replayCopies, MinDwell: time.Second, Rotation: pool.RotationAdaptive}
}

// At 20,000 events a second the policy holds the threshold however late it hears of them, by a clock of
// the test: no copy gets more than the mark and what begins before an event is acted upon.
func TestReplayLate(t *testing.T) {
	const second = int64(time.Second)
	policy := replayPolicy(200)
	for _, late := range []time.Duration{100 * time.Microsecond, time.Millisecond, 4 * time.Millisecond, 17 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			m, w := newMade(replayAlive), world{}
			running := make([]int, replayCopies) // in truth
			r := newTracked(replayCopies)
			r.census(w, time.Now(), func() {}, func() {})
			rate := eventsASecond / 2.9 // events an execution, on average
			link, highest, began, rotations, rotated := 0, 0, 0, 0, int64(0)
			var unread []procevents.Event
			apply := func(e procevents.Event) {
				e, _, err := procevents.Cut(procevents.Message(e))
				if err != nil {
					t.Fatal(err)
				}
				r.apply(e, w.executable).correct(r.counts)
			}
			for now := int64(0); now < 10*second; now += second / eventsASecond {
				e := m.next()
				e.At = now
				switch e.Kind {
				case procevents.Exec:
					w[e.PID] = fsys.ID{Dev: 1, Ino: uint64(link)}
					running[link]++
					highest = max(highest, running[link])
					began++
				case procevents.Exit:
					running[w[e.PID].Ino]--
					delete(w, e.PID)
				}
				for unread = append(unread, e); len(unread) > 0 && unread[0].At <= now-int64(late); unread = unread[1:] {
					apply(unread[0])
					loads := make([]pool.Load, replayCopies)
					for i := range loads {
						loads[i] = pool.Load{Number: i + 1, Processes: r.counts[i]}
					}
					d := pool.Choose(policy, pool.View{Loads: loads, Current: link + 1, Latency: late, Rate: rate, SinceRotation: time.Duration(now - rotated), NoGrowth: true})
					if d.Action == pool.Rotate {
						link, rotated = d.To-1, now
						rotations++
					}
				}
			}
			for _, e := range unread {
				apply(e)
			}
			r.check(t, "when all is read", w)
			unseen := int(math.Ceil(late.Seconds() * rate))
			t.Logf("%d executions, %d rotations; %d unseen at most; most on a copy: %d", began, rotations, unseen, highest)
			if most := pool.Mark(policy, pool.View{Latency: late, Rate: rate}) + unseen + 1; highest > most || highest > policy.Threshold {
				t.Errorf("%d on one copy, want at most %d, and %d in any case", highest, most, policy.Threshold)
			}
			if rotations < 10 {
				t.Errorf("%d rotations: this proves nothing", rotations)
			}
		})
	}
}

// Made events, 20,000 a second, go through the real decoder, table and policy.
func TestReplayMade(t *testing.T) {
	p := newPlayer(t, 200)
	m := newMade(replayAlive)
	for range 5 * eventsASecond {
		e := m.next()
		p.tell(procevents.Message(e), e, e.Kind == procevents.Exec || e.Kind == procevents.Fork && p.executes(e.PID))
	}
	p.check()
}

// So do those of a real storm, one time after the other.
func TestReplayStorm(t *testing.T) {
	p := newPlayer(t, 10)
	r := readRecording(t)
	for range 5 {
		for _, m := range r.Messages {
			e, _, err := procevents.Cut(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			p.tell(m.Data, e, m.Place != none)
		}
		for pid := range p.world {
			e := procevents.Event{Kind: procevents.Exit, PID: pid}
			p.tell(procevents.Message(e), e, false)
		}
	}
	for i := range int32(50) { // so that something is counted when all is over
		e := procevents.Event{Kind: procevents.Exec, PID: firstPID + i}
		p.tell(procevents.Message(e), e, true)
	}
	p.check()
}

// BenchmarkEvent is what one event costs from its message to the count, but for the system calls.
func BenchmarkEvent(b *testing.B) {
	m, w := newMade(replayAlive), world{}
	r := newTracked(replayCopies)
	r.census(w, time.Now(), func() {}, func() {})
	messages := make([][]byte, 100_000)
	for i := range messages {
		e := m.next()
		if e.Kind == procevents.Exec {
			w[e.PID] = fsys.ID{Dev: 1, Ino: uint64(e.PID % replayCopies)}
		}
		messages[i] = procevents.Message(e)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		e, _, err := procevents.Cut(messages[i])
		if err != nil {
			b.Fatal(err)
		}
		r.apply(e, w.executable).correct(r.counts)
		i = (i + 1) % len(messages)
	}
}
