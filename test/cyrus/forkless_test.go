package cyrus_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"relinkd/api"
)

// forkless: whatever relinkd does, it makes no process, or a descriptor that is open for writing
// could leak into it. strace sees every call that could.
func forkless(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.prepare(t, poolOf12)
	trace := filepath.Join(d.dir, "trace")
	d.start("strace", "-D", "-f", "-o", trace, "-e", "trace=fork,vfork,clone,clone3,execve,execveat")
	before := d.await("imapd", api.Steady).Generation.SHA256
	if err := d.rotate("imapd"); err != nil {
		t.Fatal(err)
	}
	must(t, "mv", variant(t, filepath.Join(d.dir, "imapd"), 1), imapdPath)
	d.awaitThat("imapd", "upgraded", func(s api.TargetStatus) bool {
		return s.State == api.Steady && s.Generation.SHA256 != before
	})
	removeByHand(t, imapdPath, patience)
	d.verb(0, "reclone", "imapd")
	d.verb(0, "verify", "imapd")
	d.verb(0, "restore", "imapd")
	d.stop()

	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`(?m)^.*\b(fork|vfork|clone3?|execve|execveat)\(.*$`).FindAllString(string(text), -1)
	if len(calls) < 2 || !strings.Contains(calls[0], "execve(") {
		t.Fatalf("strace did not see relinkd start and make threads: %s", text)
	}
	for _, call := range calls[1:] {
		thread := strings.Contains(call, "CLONE_THREAD")
		check := strings.Contains(call, "execveat(") && strings.Contains(call, "0x10000") // AT_EXECVE_CHECK executes nothing
		if !thread && !check {
			t.Errorf("relinkd made a process: %s", call)
		}
	}
	l.reinstall(t)
}
