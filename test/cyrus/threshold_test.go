package cyrus_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"relinkd/watch"
)

// threshold: 600 sessions are held over a pool of 12 copies and a threshold of 50, counted by
// kernel events and by the census alone. No copy ever runs more, as an independent sampler sees
// it, and relinkd's counts are /proc's.
func threshold(t *testing.T, l *lab) {
	for _, mode := range []struct {
		name   string
		census string
		atOnce int // sessions that are opened at the same time
	}{
		{"events", `interval = "60s"` + "\n" + `events = "netlink"`, 4},
		{"census", `interval = "20ms"` + "\n" + `events = "off"`, 1},
	} {
		t.Run(mode.name, func(t *testing.T) { holdThreshold(t, l, mode.census, mode.atOnce) })
	}
}

func holdThreshold(t *testing.T, l *lab, censusSettings string, atOnce int) {
	const limit, sessions = 50, 600
	l.isolate(t)
	d := l.daemon(t, fmt.Sprintf(`
[target.imapd]
path = "/usr/lib/cyrus/bin/imapd"
copies = 12
max_copies = 24
threshold = %d
[census]
%s
`, limit, censusSettings))
	d.await("imapd", watch.Steady)
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
	held := hold(t, s.imap, sessions, atOnce)
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
	t.Logf("%d processes on %d of %d copies, mark %d, peak %d, %d rotations",
		status.Processes, used, len(pool), status.Mark, status.PeakCopyProcesses, status.Rotations)

	release(held[:sessions/2])
	await(t, time.Minute, "half of the processes to end or to wait", func() bool {
		return d.target("imapd").Processes <= sessions
	})
	agree(t, d)
	s.log.noFailures(t, mark)
}

// agree checks that `status --json` and /proc have the same counts, at an instant around which
// /proc stands still, and returns that status.
func agree(t *testing.T, d *daemon) watch.TargetStatus {
	t.Helper()
	var status watch.TargetStatus
	var differ string
	deadline := time.Now().Add(30 * time.Second)
	for {
		before := onCopies(t)
		status = d.status().Targets[0]
		still := maps.Equal(before, onCopies(t))
		reported := map[string]int{}
		for _, c := range status.Copies {
			if c.Processes > 0 {
				reported[c.Name] = c.Processes
			}
		}
		if still && maps.Equal(before, reported) {
			return status
		}
		differ = fmt.Sprintf("/proc: %v\nstatus: %v", before, reported)
		if time.Now().After(deadline) {
			t.Fatalf("relinkd and /proc do not agree within 30 s:\n%s", differ)
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
			counts[name[len(binDir)+1:]] = n
		}
	}
	return counts
}
