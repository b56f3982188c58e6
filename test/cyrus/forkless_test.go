package cyrus_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"relinkd/watch"
)

// forkless: whatever relinkd does, it makes no process, or a descriptor that is open for writing
// could leak into it. strace sees every call that could.
func forkless(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.prepare(t, poolOf12)
	trace := filepath.Join(d.dir, "trace")
	d.start("strace", "-D", "-f", "-o", trace, "-e", "trace=fork,vfork,clone,clone3,execve,execveat")
	before := d.await("imapd", watch.Steady).Generation.SHA256
	if err := d.rotate("imapd"); err != nil {
		t.Fatal(err)
	}
	must(t, "mv", variant(t, filepath.Join(d.dir, "imapd"), 1), imapdPath)
	d.awaitThat("imapd", "upgraded", func(s watch.TargetStatus) bool {
		return s.State == watch.Steady && s.Generation.SHA256 != before
	})
	if err := os.Remove(imapdPath); err != nil {
		t.Fatal(err)
	}
	await(t, patience, "path to be back", func() bool { return exists(imapdPath) })
	d.verb(0, "reclone", "imapd")
	d.verb(0, "verify", "imapd")
	d.verb(0, "restore", "imapd")
	d.stop()

	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	executed := 0
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.Contains(line, "execveat(") && strings.Contains(line, "0x10000"): // AT_EXECVE_CHECK executes nothing
		case strings.Contains(line, "execve(") && executed == 0: // relinkd itself
			executed++
		case regexp.MustCompile(`clone3?\(`).MatchString(line) && strings.Contains(line, "CLONE_THREAD"):
		case strings.Contains(line, " resumed>"), strings.Contains(line, "+++"), strings.Contains(line, "--- SIG"):
		default:
			t.Errorf("relinkd made a process: %s", line)
		}
	}
	if executed != 1 {
		t.Errorf("strace saw nothing: %s", text)
	}
	l.reinstall(t)
}
