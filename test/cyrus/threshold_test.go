package cyrus_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"relinkd/api"
)

// threshold: 600 sessions are held over a pool of 12 copies, which may not grow, and a threshold of
// 50: there is room for every one of them and for no other. No copy ever runs more, as an independent
// sampler sees it, and relinkd's counts are /proc's.
func threshold(t *testing.T, l *lab) {
	const limit, sessions = 50, 600
	l.isolate(t)
	d := l.daemon(t, fmt.Sprintf(`
[target.imapd]
path = "/usr/lib/cyrus/bin/imapd"
copies = 12
max_copies = 12
threshold = %d
[census]
interval = "20ms"
`, limit))
	d.await("imapd", api.Steady)
	s := startCyrus(t, settings{maxChild: sessions + 50})
	mark := s.log.mark(t)

	peak := map[file]int{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	stop := loopUntil(func() {
		<-tick.C
		for f, n := range census() {
			peak[f] = max(peak[f], n)
		}
	})
	held := holdPaced(t, d, s.imap, sessions)
	stop()
	pool := copies(t, imapdPath)
	used := 0
	for _, name := range pool {
		n := peak[fileAt(name)]
		if n > limit {
			t.Errorf("%s ran %d processes, threshold %d", name, n, limit)
		}
		if n > 0 {
			used++
		}
	}
	if used < sessions/limit {
		t.Errorf("%d sessions ran on %d copies; where are they?", sessions, used)
	}

	status := agree(t, d)
	if status.PeakCopyProcesses > limit {
		t.Errorf("relinkd itself counted a peak of %d", status.PeakCopyProcesses)
	}
	t.Logf("%d processes on %d of %d copies, mark %d, peak %d, %d rotations, latency %.1f ms, %.1f processes/s",
		status.Processes, used, len(pool), status.Mark, status.PeakCopyProcesses, status.Rotations,
		1000*status.EventLatencySeconds, status.ExecRate)

	release(held[:sessions/2])
	agree(t, d)
	s.log.noFailures(t, mark)
}

// holdPaced opens n sessions no faster than relinkd sees them: a few, as many as there is room for on
// the copy that the link leads to, and the next few when those are counted. A census alone promises
// the threshold for no more than that.
func holdPaced(t *testing.T, d *daemon, address string, n int) []*client {
	t.Helper()
	const few = 4
	var held []*client
	for len(held) < n {
		room := 0
		d.awaitThat("imapd", "aware of the new sessions, and of room for more", func(s api.TargetStatus) bool {
			for _, c := range s.Copies {
				if c.Name == s.Current {
					now := census()[fileAt(filepath.Join(binDir, s.Current))]
					room = s.Threshold - max(c.Processes, now)
					return c.Processes >= now && room > 0
				}
			}
			return false
		})
		held = append(held, hold(t, address, min(few, room, n-len(held)), few)...)
	}
	return held
}

// agree checks that `status --json` and /proc have the same counts, at an instant around which
// /proc stands still, and returns that status.
func agree(t *testing.T, d *daemon) api.TargetStatus {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		before := onCopies(t)
		status := d.status().Targets[0]
		still := maps.Equal(before, onCopies(t))
		reported, sum := map[string]int{}, 0
		for _, c := range status.Copies {
			if c.Processes > 0 {
				reported[c.Name] = c.Processes
				sum += c.Processes
			}
		}
		if still && maps.Equal(before, reported) && status.Processes == sum {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("relinkd and /proc do not agree within 30 s:\n/proc: %v\nstatus: %v", before, reported)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// onCopies counts the processes of each copy of imapd that runs any, by its name.
func onCopies(t *testing.T) map[string]int {
	t.Helper()
	running, counts := census(), map[string]int{}
	for _, name := range copies(t, imapdPath) {
		if n := running[fileAt(name)]; n > 0 {
			counts[filepath.Base(name)] = n
		}
	}
	return counts
}
