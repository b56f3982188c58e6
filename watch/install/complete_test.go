package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/linker/launcher"
)

// judge opens path as a caller does and asks Complete.
func judge(t *testing.T, path string) error {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	check(t, err)
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return Complete(f, filepath.Dir(path))
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		want string // "" for no error
		heal bool   // of kind ErrIncomplete
	}{
		{name: "complete", make: func(t *testing.T, path string) {}},
		{"empty", func(t *testing.T, path string) { check(t, os.Truncate(path, 0)) }, "empty", true},
		{"short", func(t *testing.T, path string) { check(t, os.Truncate(path, 200)) }, "cut short", true},
		{"open for writing", func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			check(t, err)
			t.Cleanup(func() { f.Close() })
		}, "open for writing", true},
		{"script", func(t *testing.T, path string) { place(t, path, []byte("#!/bin/sh\n")) }, "is a script", false},
		{"a launcher", func(t *testing.T, path string) {
			content, err := launcher.New("/opt/.relinkd/imapd")
			check(t, err)
			place(t, path, content)
		}, "is relinkd's launcher of /opt/.relinkd/imapd, not a program", false},
		{"not executable", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o644)) }, "try: chmod 755 ", false},
		{"writable by group", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o775)) }, "try: chmod go-w ", false},
		{"writable by others", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o757)) }, "try: chmod go-w ", false},
		{"directory", func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, os.Mkdir(path, 0o755)) }, "is a directory", false},
		{"fifo", func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, unix.Mkfifo(path, 0o755)) }, "is a fifo", false},
		{"directory writable by others", func(t *testing.T, path string) { check(t, os.Chmod(filepath.Dir(path), 0o777)) }, "the directory ", false},
		{"sticky directory", func(t *testing.T, path string) { check(t, os.Chmod(filepath.Dir(path), 0o777|os.ModeSticky)) }, "the directory ", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, Options{})
			place(t, s.file, image(t, 0))
			tt.make(t, s.file)
			err := judge(t, s.file)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), s.dir)):
				t.Errorf("%v, want an error with %q and the path", err, tt.want)
			case errors.Is(err, ErrIncomplete) != tt.heal:
				t.Errorf("%v: of kind ErrIncomplete: %v, want %v", err, !tt.heal, tt.heal)
			}
		})
	}
}

func TestCompleteForeignOwner(t *testing.T) {
	skipUnlessRoot(t, "files of another owner")
	s := newSite(t, Options{})
	place(t, s.file, image(t, 0))
	check(t, os.Chown(s.file, 12345, 0))
	if err := judge(t, s.file); err == nil || !strings.Contains(err.Error(), "belongs to uid 12345") || !strings.Contains(err.Error(), "try: chown") {
		t.Error(err)
	}
	for _, mode := range []uint32{unix.S_ISUID, unix.S_ISGID} { // which chown takes away
		check(t, unix.Chmod(s.file, mode|0o755))
		if err := judge(t, s.file); err == nil || !strings.Contains(err.Error(), "set-id") || strings.Contains(err.Error(), "chown") {
			t.Error(err)
		}
	}
}
