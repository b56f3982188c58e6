package linker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPlanted puts a private directory in the way that somebody else could change, or that is none.
// It is refused, by Open and by the MakePrivate that it overtakes, and stays as it is.
func TestPlanted(t *testing.T) {
	for _, test := range []struct {
		name  string
		root  bool // it takes root to make
		plant func(dir string) error
		want  string
	}{
		{"a link to a directory", false, func(dir string) error {
			elsewhere := dir + ".elsewhere"
			if err := os.Mkdir(elsewhere, 0o755); err != nil {
				return err
			}
			return os.Symlink(elsewhere, dir)
		}, "is not relinkd's directory: move it away"},
		{"a link to nothing", false, func(dir string) error { return os.Symlink("nowhere", dir) }, "is not relinkd's directory: move it away"},
		{"a file", false, func(dir string) error { return os.WriteFile(dir, nil, 0o644) }, "is not relinkd's directory: move it away"},
		{"a directory that all may write", false, mkdir(0o777), "is writable by others (mode 0777): see what is in it, then chmod it to 0755"},
		{"a directory that a group may write", false, mkdir(0o775), "is writable by others (mode 0775): see what is in it, then chmod it to 0755"},
		{"another user's directory", true, func(dir string) error {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			return os.Chown(dir, 12345, 12345)
		}, "belongs to user 12345, not to relinkd: move it away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.root && os.Geteuid() != 0 {
				t.Skip("not root: left out another user's directory")
			}
			s := newSite(t, t.TempDir())
			dir := filepath.Join(s.dir, PrivateDir)
			must(t, os.RemoveAll(dir))
			early := s.open(nil)
			defer early.Close()
			must(t, test.plant(dir))
			before := s.tree(s.dir)

			if l, err := Open(s.path, nil); err == nil || !strings.Contains(err.Error(), dir+" "+test.want) {
				t.Errorf("open: %v, want %q", err, test.want)
				if err == nil {
					l.Close()
				}
			}
			if err := early.MakePrivate(); err == nil || !strings.Contains(err.Error(), dir+" "+test.want) {
				t.Errorf("make: %v, want %q", err, test.want)
			}
			if early.Private() != nil {
				t.Error("it is used all the same")
			}
			if after := s.tree(s.dir); !slices.Equal(after, before) {
				t.Errorf("changed %q to %q", before, after)
			}
		})
	}
}

// mkdir makes a directory of that mode whatever the umask is.
func mkdir(mode os.FileMode) func(dir string) error {
	return func(dir string) error {
		if err := os.Mkdir(dir, mode); err != nil {
			return err
		}
		return os.Chmod(dir, mode)
	}
}

// TestMakePrivate: processes of other users must get through, whatever the umask is.
func TestMakePrivate(t *testing.T) {
	s := newSite(t, t.TempDir())
	dir := filepath.Join(s.dir, PrivateDir)
	must(t, os.RemoveAll(dir))
	l := s.open(nil)
	defer l.Close()
	umask := unix.Umask(0o077)
	err := l.MakePrivate()
	unix.Umask(umask)
	must(t, err)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v, want 0755", info.Mode(), err)
	}
	private := l.Private()
	if err := l.MakePrivate(); err != nil || l.Private() != private {
		t.Errorf("a second time: %v", err)
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "missing", target), nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v, want that the directory is missing", err)
	}
}
