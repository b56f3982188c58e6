package cyrus_test

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"relinkd/api"
)

const poolOf12 = `
[target.imapd]
path = "/usr/lib/cyrus/bin/imapd"
copies = 12
max_copies = 24
threshold = 50
`

// removal: apt removes the package and relinkd stands down; it comes back and is managed again.
// A path that somebody removed by hand is put back, also while an apt waits at its question. Nobody
// logs in meanwhile: every worker that looks for its file in vain, and every spawn, counts as a
// failure, and the fifth ends Cyrus's service, which a few clients bring about within the 20 ms.
func removal(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.daemon(t, poolOf12)
	d.await("imapd", api.Steady)

	if _, err := apt("remove", "-y", "cyrus-imapd"); err != nil {
		t.Fatal(err)
	}
	d.await("imapd", api.Absent)
	for _, name := range append(copies(t, imapdPath), imapdPath, binDir+"/.relinkd") {
		if exists(name) {
			t.Errorf("%s is still there after the package was removed", name)
		}
	}
	l.host.install(t, l.host.cyrusAt(olderCyrus)...)
	status := d.await("imapd", api.Steady)
	if len(status.Copies) != 12 {
		t.Errorf("%d copies after the package came back", len(status.Copies))
	}

	s := startCyrus(t, settings{prefork: 2})
	held := hold(t, s.imap, 5, 1)
	mark := s.log.mark(t)
	remove := func(while string) {
		t.Helper()
		d.await("imapd", api.Steady)
		gone := removeByHand(t, imapdPath, 10*time.Second)
		t.Logf("rm of path%s: back after %v", while, gone.Round(100*time.Microsecond))
		if gone < 20*time.Millisecond {
			t.Errorf("path was put back after %v; an installer needs 20 ms", gone)
		}
		for n := range 20 {
			if err := visit(s.imap, n); err != nil {
				t.Errorf("a login after rm of path%s: %v", while, err)
			}
		}
	}
	remove("")
	question := askedByApt(t)
	remove(" while apt waits at its question")
	question.no(t)
	d.await("imapd", api.Steady)
	for _, c := range held {
		if _, err := c.command("NOOP"); err != nil {
			t.Errorf("a held session: %v", err)
		}
	}
	s.log.mark(t)
	if lines := s.log.since(mark, "too many failures"); len(lines) > 0 {
		t.Errorf("Cyrus lost its service: %s", lines[0])
	}
}

// question is an apt-get that waits for an answer with its locks held.
type question struct {
	cmd    *exec.Cmd
	answer io.WriteCloser
}

// askedByApt starts a removal and waits for its question; it is answered no at the end of t at the
// latest.
func askedByApt(t *testing.T) *question {
	t.Helper()
	cmd := aptGet(t.Context(), "remove", "cyrus-imapd")
	answer, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	q := &question{cmd, answer}
	t.Cleanup(func() { q.no(t) })
	var asked strings.Builder
	for r := bufio.NewReader(out); !strings.Contains(asked.String(), "continue? [Y/n]"); {
		b, err := r.ReadByte()
		if err != nil {
			t.Fatalf("apt asked nothing: %s", asked.String())
		}
		asked.WriteByte(b)
	}
	if locked, err := dpkgLocked(); err != nil || !locked {
		t.Errorf("apt waits without dpkg's lock (%v): this part proves nothing", err)
	}
	return q
}

// no declines, once.
func (q *question) no(t *testing.T) {
	if q.cmd == nil {
		return
	}
	io.WriteString(q.answer, "n\n")
	q.answer.Close()
	q.cmd.Wait() // apt exits 1 when it is told no
	q.cmd = nil
}
