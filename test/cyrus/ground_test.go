package cyrus_test

import (
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// content is the checksum of a file, as a package's list has it.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", md5.Sum(b))
}

// copies are the files beside path that bear a copy's name.
func copies(t *testing.T, path string) []string {
	t.Helper()
	all, err := filepath.Glob(path + "_*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range all {
		if regexp.MustCompile(`_\d{3}$`).MatchString(name) {
			found = append(found, name)
		}
	}
	return found
}

// inodes identifies each file of a list.
func inodes(names []string) map[string]file {
	m := make(map[string]file, len(names))
	for _, name := range names {
		m[name] = fileAt(name)
	}
	return m
}

// leavings lists what is left of relinkd beside path, and path itself if it is no regular file.
func leavings(t *testing.T, path string) []string {
	t.Helper()
	left := copies(t, path)
	if private := filepath.Join(filepath.Dir(path), ".relinkd"); exists(private) {
		left = append(left, private)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		left = append(left, path)
	}
	return left
}

// isolate makes a part begin with the older Cyrus as packaged, and end so: what relinkd leaves
// behind fails the part, and is cleared away for the next one.
func (l *lab) isolate(t *testing.T) {
	t.Helper()
	if installedCyrus()["cyrus-imapd"] != olderCyrus || altered(t, "cyrus-imapd") != "" {
		l.reinstall(t)
	}
	t.Cleanup(func() {
		clean := true
		for _, path := range []string{imapdPath, lmtpdPath} {
			if left := leavings(t, path); len(left) > 0 {
				t.Errorf("left behind after restore: %q", left)
				clean = false
			}
		}
		if !clean {
			l.reinstall(t)
		}
	})
}

// reinstall brings the install directory back to the packaged state by force.
func (l *lab) reinstall(t *testing.T) {
	t.Helper()
	os.RemoveAll(filepath.Join(binDir, ".relinkd"))
	for _, path := range []string{imapdPath, lmtpdPath} {
		for _, name := range copies(t, path) {
			os.Remove(name)
		}
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			os.Remove(path)
		}
	}
	l.host.install(t, append(l.host.cyrusAt(olderCyrus), "--reinstall")...)
}

// loopUntil calls do again and again, in a goroutine, until the function that it returns is
// called, which waits for the last call to end.
func loopUntil(do func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				do()
			}
		}
	}()
	return func() { close(quit); <-done }
}

// removeByHand removes path and measures how long it is missing, which may be at most limit.
func removeByHand(t *testing.T, path string, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for !exists(path) {
		if time.Since(began) > limit {
			t.Fatalf("%s is still missing after %v", path, limit)
		}
	}
	return time.Since(began)
}
