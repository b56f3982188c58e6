package cyrus_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"relinkd/api"
)

// founding: the site that relinkd comes from. Sixty copies made by hand, path a link to one of
// them, no other original, and a cron job that goes on relinking.
func founding(t *testing.T, l *lab) {
	l.isolate(t)
	t.Cleanup(func() { l.reinstall(t) })
	for n := 1; n <= 60; n++ {
		must(t, "cp", "-p", imapdPath, handmade(n))
	}
	must(t, "ln", "-sfn", "imapd_001", imapdPath)
	made, sum := inodes(copies(t, imapdPath)), content(t, imapdPath)
	s := startCyrus(t, settings{prefork: 2})
	mark := s.log.mark(t)
	load := startLoad(t, s.imap, 4, 2)
	settled(t, load)

	turn := 1
	relink := func() {
		turn = turn%60 + 1
		if out, err := exec.Command("ln", "-sfn", fmt.Sprintf("imapd_%03d", turn), imapdPath).CombinedOutput(); err != nil {
			t.Errorf("the cron job: %v: %s", err, out)
		}
	}
	stopCron := loopUntil(func() { relink(); time.Sleep(200 * time.Millisecond) }) // its period, not a wait

	// Nothing is touched before the operator says so.
	d := l.daemon(t, poolOf60)
	status := d.awaitThat("imapd", "seen for what it is", func(s api.TargetStatus) bool { return s.State != api.Starting })
	t.Logf("before manage: %s, %q", status.State, status.Reason)
	if status.Reason == "" || status.State == api.Steady {
		t.Errorf("a hand-made pool is %s, reason %q", status.State, status.Reason)
	}
	settled(t, load)
	if exists(binDir + "/.relinkd") {
		t.Errorf("relinkd made its directory before it was told to manage")
	}
	for name, f := range inodes(copies(t, imapdPath)) {
		if f != made[name] {
			t.Errorf("relinkd touched %s before it was told to manage", name)
		}
	}

	t.Logf("relinkd manage imapd:\n%s", d.verb(0, "manage", "imapd", "--yes"))
	d.await("imapd", api.Steady)
	settled(t, load)
	// The cron job goes on. Its links are taken back each time, and it shows.
	for range 5 {
		text := must(t, "readlink", imapdPath)
		settled(t, load)
		if status = d.await("imapd", api.Steady); status.Current == "" {
			t.Errorf("no current copy, path led to %s", text)
		}
	}
	stopCron()
	relink()
	await(t, 10*time.Second, "path to be relinkd's again", func() bool {
		link, err := os.Readlink(imapdPath)
		return err == nil && link == ".relinkd/imapd"
	})
	var whole api.Status
	if err := d.get("/v1/status", &whole); err != nil {
		t.Fatal(err)
	}
	t.Logf("after the cron job's interference: last error %q, reason %q", whole.LastError, d.target("imapd").Reason)
	if whole.LastError == "" && d.target("imapd").Reason == "" {
		t.Errorf("the cron job's interference does not show in status")
	}

	for _, name := range copies(t, imapdPath) {
		if content(t, name) != sum {
			t.Errorf("%s changed", name)
		}
	}
	d.verb(0, "restore", "imapd")
	if content(t, imapdPath) != sum {
		t.Errorf("restore left another executable at path")
	}
	settled(t, load)
	seen := load.stop()
	t.Log(seen)
	if seen.lost() > 0 {
		t.Errorf("logins were lost: %v", seen)
	}
	s.log.noFailures(t, mark)
}

func handmade(n int) string { return fmt.Sprintf("%s_%03d", imapdPath, n) }
