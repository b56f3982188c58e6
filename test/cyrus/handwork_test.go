package cyrus_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relinkd/api"
)

// handwork: an administrator replaces the executable without a package manager. Every way in which
// the new one is put at path is an upgrade; a cp through the link hits one copy, which is kept aside
// and made anew.
func handwork(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.daemon(t, poolOf12)
	d.await("imapd", api.Steady)
	s := startCyrus(t, settings{prefork: 2})
	if err := visit(s.imap, 0); err != nil {
		t.Fatal(err)
	}
	packaged := content(t, imapdPath)
	dir := scratch(t)

	for n, way := range []struct {
		name    string
		replace func(file string)
	}{
		{"install", func(file string) { must(t, "install", "-m755", file, imapdPath) }},
		{"mv", func(file string) { must(t, "mv", file, imapdPath) }},
		{"rm and cp", func(file string) { must(t, "sh", "-c", `rm "$1" && cp "$0" "$1"`, file, imapdPath) }},
		{"cp --remove-destination", func(file string) { must(t, "cp", "--remove-destination", file, imapdPath) }},
	} {
		file := variant(t, filepath.Join(dir, "imapd"), n)
		want, before := content(t, file), d.target("imapd").Generation.SHA256
		began := time.Now()
		way.replace(file)
		d.awaitThat("imapd", "upgraded by "+way.name, func(s api.TargetStatus) bool {
			return s.State == api.Steady && s.Generation.SHA256 != before
		})
		t.Logf("%s: published after %v", way.name, time.Since(began).Round(time.Millisecond))
		for _, name := range copies(t, imapdPath) {
			if content(t, name) != want {
				t.Errorf("%s: %s is not what was put at path", way.name, name)
			}
		}
		visitCopy(t, s)
	}

	// Through the link: nobody may be running that copy, or cp fails with "Text file busy".
	var current string
	awaitIdle := func() bool {
		if err := d.rotate("imapd"); err != nil {
			t.Fatal(err)
		}
		current = filepath.Join(binDir, d.target("imapd").Current)
		return census()[fileAt(current)] == 0
	}
	file := variant(t, filepath.Join(dir, "imapd"), 99)
	var before string
	await(t, 20*time.Second, "cp through the link to a current copy that nobody runs", func() bool {
		if !awaitIdle() {
			return false
		}
		before = content(t, current)
		return exec.Command("cp", file, imapdPath).Run() == nil // a worker may have begun on it meanwhile
	})
	drifted := filepath.Join(binDir, ".relinkd", filepath.Base(current)+".drifted")
	await(t, 20*time.Second, "the changed copy to be kept aside and made anew", func() bool {
		return exists(drifted) && exists(current) && content(t, current) == before
	})
	if content(t, drifted) != content(t, file) {
		t.Errorf("%s is not what was copied through the link", drifted)
	}
	status := d.await("imapd", api.Steady)
	if filepath.Base(current) == status.Current {
		t.Errorf("the link stayed on the changed copy %s", current)
	}
	if !strings.Contains(d.log(), "relinkd adopt imapd") {
		t.Errorf("the log does not say how to adopt the changed copy")
	}
	visitCopy(t, s)
	if err := os.Remove(drifted); err != nil {
		t.Error(err)
	}

	d.verb(0, "restore", "imapd")
	if content(t, imapdPath) == packaged {
		t.Errorf("restore put the package's executable back, older than what the administrator installed")
	}
	l.reinstall(t)
}

// variant makes a file that is imapd in all but a trailing number, which an ELF loader ignores.
func variant(t *testing.T, name string, n int) string {
	t.Helper()
	b, err := os.ReadFile(imapdPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(b, byte('0'+n)), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// visitCopy logs in and checks that the process that answers runs one of the copies.
func visitCopy(t *testing.T, s *server) {
	t.Helper()
	// A worker that waited since before the change may take one more client.
	await(t, 10*time.Second, "a login on a copy", func() bool {
		c, err := dial(s.imap)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.login(user(0)); err != nil {
			t.Fatal(err)
		}
		for _, f := range inodes(copies(t, imapdPath)) {
			if f == c.pid.executable() {
				return true
			}
		}
		return false
	})
}
