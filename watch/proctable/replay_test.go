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
	data, err := os.ReadFile(filepath.Join("testdata", recordedFile))
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := gob.NewDecoder(unzipped).Decode(&r); err != nil {
		t.Fatal(err)
	}
	replayed := newTracked(len(r.Counts))
	replayed.census(world{}, time.Now(), func() {}, func() {})
	peaks := make([]int, len(r.Counts))
	for _, m := range r.Messages {
		e, _, err := cutEvent(m.Data)
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

// recordStorm records a storm of three executables.
func recordStorm(t *testing.T) {
	const lanes = 3
	exes := files(t, "", lanes)
	conn, err := subscribe(receiveBuffer)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
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
		n, errno := conn.receive()
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
			data := conn.mail.datagram(i)
			e, _, err := cutEvent(data)
			if err != nil {
				t.Fatal(err)
			}
			c := known.apply(e, table.census.executable)
			c.correct(known.counts)
			for i, n := range known.counts {
				r.Peaks[i] = max(r.Peaks[i], n)
			}
			r.Messages = append(r.Messages, recordedMessage{bytes.Clone(data), known.known.of(e.pid)})
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

// made is a machine that makes events faster than this one could: processes begin through a link, some
// end at once and some later, and each of that is written as the kernel would, to be read some time
// after.
type made struct {
	random   *rand.Rand
	world    world
	link     int // the copy that processes begin on
	now      int64
	nextPID  int32
	lasting  []int32
	running  []int // processes on each copy, in truth
	highest  int
	messages [][]byte
	began    int // executions
}

// second is in the time of made.
const second = int64(time.Second)

// step makes one process begin, and perhaps another end: three or four events.
func (m *made) step(alive int) {
	m.nextPID = m.nextPID%4_000_000 + 1
	pid := m.nextPID
	m.write(wireFork(1, pid, m.now))
	m.world[pid] = fsys.ID{Dev: 1, Ino: uint64(m.link)}
	m.running[m.link]++
	m.highest = max(m.highest, m.running[m.link])
	m.began++
	m.write(wireExec(pid, m.now))
	m.lasting = append(m.lasting, pid)
	if i := len(m.lasting) - 1; m.random.IntN(2) == 0 {
		m.end(i)
	} else if len(m.lasting) > alive {
		m.end(m.random.IntN(len(m.lasting)))
	}
}

func (m *made) end(i int) {
	pid := m.lasting[i]
	m.lasting[i] = m.lasting[len(m.lasting)-1]
	m.lasting = m.lasting[:len(m.lasting)-1]
	m.running[m.world[pid].Ino]--
	delete(m.world, pid)
	m.write(wireExit(pid, m.now))
}

func (m *made) write(message []byte) { m.messages = append(m.messages, message) }

// At 20,000 events a second, more than a small machine can make, the decoder, the table and the policy
// hold the threshold: no copy gets more than the mark and what begins before an event is acted upon.
func TestReplayMade(t *testing.T) {
	const copies, alive, eventsASecond = 60, 6000, 20_000
	for _, late := range []time.Duration{100 * time.Microsecond, time.Millisecond, 4 * time.Millisecond, 17 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			m := &made{random: rand.New(rand.NewPCG(1, 2)), world: world{}, running: make([]int, copies)}
			r := newTracked(copies)
			r.census(m.world, time.Now(), func() {}, func() {})
			p := pool.Policy{Threshold: 200, RotateAt: 0.9, MaxCopies: copies, MinDwell: time.Second, Rotation: pool.RotationAdaptive}
			rotations, applied, rotated := 0, 0, int64(0)
			rate := float64(eventsASecond) / 2.9 // events an execution, on average
			for m.now < 10*second {
				m.step(alive)
				m.now += int64(float64(second) / rate)
				for ; applied < len(m.messages); applied++ {
					e, _, err := cutEvent(m.messages[applied])
					if err != nil {
						t.Fatal(err)
					}
					if e.at > m.now-int64(late) {
						break
					}
					r.apply(e, m.world.executable).correct(r.counts)
					loads := make([]pool.Load, copies)
					for i := range loads {
						loads[i] = pool.Load{Number: i + 1, Processes: r.counts[i]}
					}
					d := pool.Choose(p, pool.View{Loads: loads, Current: m.link + 1, Latency: late, Rate: rate, SinceRotation: time.Duration(m.now - rotated)})
					if d.Action == pool.Rotate {
						m.link, rotated = d.To-1, m.now
						rotations++
					}
				}
			}
			for ; applied < len(m.messages); applied++ {
				e, _, _ := cutEvent(m.messages[applied])
				r.apply(e, m.world.executable).correct(r.counts)
			}
			r.check(t, "when all is read", m.world)
			unseen := int(math.Ceil(late.Seconds() * rate))
			t.Logf("%d events, %d executions, %d rotations; %d unseen at most; most on a copy: %d", len(m.messages), m.began, rotations, unseen, m.highest)
			if most := pool.Mark(p, late, rate) + unseen + 1; m.highest > most || m.highest > p.Threshold {
				t.Errorf("%d on one copy, want at most %d, and %d in any case", m.highest, most, p.Threshold)
			}
			if rotations < 10 {
				t.Errorf("%d rotations: this proves nothing", rotations)
			}
		})
	}
}

// BenchmarkEvent is what one event costs from its message to the count, but for the system calls.
func BenchmarkEvent(b *testing.B) {
	m := &made{random: rand.New(rand.NewPCG(1, 2)), world: world{}, running: make([]int, 60)}
	r := newTracked(60)
	r.census(m.world, time.Now(), func() {}, func() {})
	for len(m.messages) < 100_000 {
		m.step(6000)
		m.link = (m.link + 1) % 60
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		e, _, err := cutEvent(m.messages[i])
		if err != nil {
			b.Fatal(err)
		}
		r.apply(e, m.world.executable).correct(r.counts)
		i = (i + 1) % len(m.messages)
	}
}
