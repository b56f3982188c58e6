package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
		{"not executable", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o644)) }, "try: chmod 755 ", false},
		{"writable by group", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o775)) }, "try: chmod go-w ", false},
		{"writable by others", func(t *testing.T, path string) { check(t, os.Chmod(path, 0o757)) }, "try: chmod go-w ", false},
		{"directory", func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, os.Mkdir(path, 0o755)) }, "is a directory", false},
		{"fifo", func(t *testing.T, path string) { check(t, os.Remove(path)); check(t, unix.Mkfifo(path, 0o755)) }, "is a fifo", false},
		{"directory writable by others", func(t *testing.T, path string) { check(t, os.Chmod(filepath.Dir(path), 0o777)) }, "the directory ", false},
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
	if err := judge(t, s.file); err == nil || !strings.Contains(err.Error(), "belongs to uid 12345") {
		t.Error(err)
	}
}

func TestCheckOwners(t *testing.T) {
	mode := func(m os.FileMode) func(t *testing.T, s *site) {
		return func(t *testing.T, s *site) { check(t, os.Chmod(s.dir, m)) }
	}
	for _, tt := range []struct {
		name string
		make func(t *testing.T, s *site)
		want string
	}{
		{"fine", mode(0o755), ""},
		{"group", mode(0o775), "bin can be written by others"},
		{"others", mode(0o757), "bin can be written by others"},
		{"sticky", mode(0o777 | os.ModeSticky), ""},
		{"sticky, nothing there", func(t *testing.T, s *site) {
			mode(0o777|os.ModeSticky)(t, s)
			check(t, os.Remove(s.file))
		}, "bin can be written by others"},
		{"above", func(t *testing.T, s *site) { check(t, os.Chmod(filepath.Dir(s.dir), 0o777)) }, "can be written by others"},
		{"missing", func(t *testing.T, s *site) { check(t, os.RemoveAll(s.dir)) }, "no such file"},
		{"through links", func(t *testing.T, s *site) {
			check(t, os.Rename(s.dir, s.dir+".real"))
			check(t, os.Symlink("../"+filepath.Base(filepath.Dir(s.dir))+"/./bin.real", s.dir))
		}, ""},
		{"a link to a bad place", func(t *testing.T, s *site) {
			check(t, os.Rename(s.dir, s.dir+".real"))
			check(t, os.Chmod(s.dir+".real", 0o777))
			check(t, os.Symlink(s.dir+".real", s.dir))
		}, "bin.real can be written by others"},
		{"a circle", func(t *testing.T, s *site) {
			check(t, os.RemoveAll(s.dir))
			check(t, os.Symlink(s.dir, s.dir))
		}, "too many levels of symbolic links"},
		{"not a directory", func(t *testing.T, s *site) {
			check(t, os.RemoveAll(s.dir))
			check(t, os.WriteFile(s.dir, nil, 0o644))
		}, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, Options{})
			place(t, s.file, image(t, 0))
			tt.make(t, s)
			err := CheckOwners(s.file)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestCheckOwnersForeign(t *testing.T) {
	skipUnlessRoot(t, "directories of another owner")
	s := newSite(t, Options{})
	place(t, s.file, image(t, 0))
	check(t, os.Chown(s.dir, 12345, 0))
	if err := CheckOwners(s.file); err == nil || !strings.Contains(err.Error(), "bin belongs to uid 12345") {
		t.Error(err)
	}
	check(t, os.Chown(s.dir, 0, 0))
	check(t, os.Chmod(s.dir, 0o777|os.ModeSticky))
	check(t, os.Chown(s.file, 12345, 0))
	if err := CheckOwners(s.file); err == nil || !strings.Contains(err.Error(), "bin can be written by others") {
		t.Error(err)
	}
}
