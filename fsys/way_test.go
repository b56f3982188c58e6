package fsys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A file can be executed by others when somebody who is not root passes all directories on the way, through
// links, and then may execute it.
func TestCheckExecutableByOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: files of several owners")
	}
	root, err := os.MkdirTemp("", "relinkd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	type entry struct {
		path     string
		mode     uint32
		uid, gid int
		link     string
	}
	for i, test := range []struct {
		name    string
		entries []entry
		says    string // "" when somebody can execute bin/x
	}{
		{"all open", []entry{{"bin", 0o755, 0, 0, ""}, {"bin/x", 0o755, 0, 0, ""}}, ""},
		{"readable by root alone", []entry{{"bin", 0o711, 0, 0, ""}, {"bin/x", 0o711, 0, 0, ""}}, ""},
		{"a directory is root's alone", []entry{{"bin", 0o700, 0, 0, ""}, {"bin/x", 0o755, 0, 0, ""}}, "bin (mode 0700); try: chmod a+x "},
		{"a directory is for root's group", []entry{{"bin", 0o750, 0, 0, ""}, {"bin/x", 0o755, 0, 0, ""}}, "bin (mode 0750)"},
		{"a directory is for a group", []entry{{"bin", 0o750, 0, 8, ""}, {"bin/x", 0o755, 0, 0, ""}}, ""},
		{"a directory and the file are for one group", []entry{{"bin", 0o750, 0, 8, ""}, {"bin/x", 0o750, 0, 8, ""}}, ""},
		{"a directory and the file are for two groups", []entry{{"bin", 0o750, 0, 8, ""}, {"bin/x", 0o750, 0, 9, ""}}, "bin (mode 0750)"},
		{"the group alone is kept out", []entry{{"bin", 0o705, 0, 8, ""}, {"bin/x", 0o750, 0, 8, ""}}, "execute"},
		{"one user's", []entry{{"bin", 0o700, 8, 0, ""}, {"bin/x", 0o755, 0, 0, ""}}, ""},
		{"the file is root's alone", []entry{{"bin", 0o755, 0, 0, ""}, {"bin/x", 0o744, 0, 0, ""}}, "x (mode 0744)"},
		{"by a link", []entry{{"bin", 0o755, 0, 0, ""}, {"in", 0o755, 0, 0, ""}, {"in/y", 0o755, 0, 0, ""}, {"bin/x", 0, 0, 0, "../in/y"}}, ""},
		{"by a link into what is shut", []entry{{"bin", 0o755, 0, 0, ""}, {"in", 0o700, 0, 0, ""}, {"in/y", 0o755, 0, 0, ""}, {"bin/x", 0, 0, 0, "../in/y"}}, "in (mode 0700)"},
		{"by a whole path into what is shut", []entry{{"bin", 0o755, 0, 0, ""}, {"in", 0o700, 0, 0, ""}, {"in/y", 0o755, 0, 0, ""}, {"bin/x", 0, 0, 0, "ROOT/in/y"}}, "in (mode 0700)"},
		{"a link to nothing", []entry{{"bin", 0o755, 0, 0, ""}, {"bin/x", 0, 0, 0, "nothing"}}, "no such file"},
		{"a link to itself", []entry{{"bin", 0o755, 0, 0, ""}, {"bin/x", 0, 0, 0, "x"}}, "too many levels"},
		{"a directory", []entry{{"bin", 0o755, 0, 0, ""}, {"bin/x", 0o755, 0, 0, ""}, {"bin/x/y", 0o755, 0, 0, ""}}, "permission denied"},
		{"a file for a directory", []entry{{"bin", 0o755, 0, 0, ""}}, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			top := filepath.Join(root, string(rune('a'+i)))
			if err := errors.Join(os.Mkdir(top, 0o755), os.Chmod(top, 0o755), os.Chmod(root, 0o755)); err != nil {
				t.Fatal(err)
			}
			for j, e := range test.entries {
				path := filepath.Join(top, e.path)
				isDir := e.path == "bin" || e.path == "in"
				for _, later := range test.entries[j+1:] {
					isDir = isDir || strings.HasPrefix(later.path, e.path+"/")
				}
				switch {
				case e.link != "":
					err = os.Symlink(strings.Replace(e.link, "ROOT", top, 1), path)
				case isDir:
					err = os.Mkdir(path, 0o755)
				default:
					err = os.WriteFile(path, nil, 0o755)
				}
				if err == nil && e.link == "" {
					err = errors.Join(os.Chown(path, e.uid, e.gid), os.Chmod(path, os.FileMode(e.mode)))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			err := CheckExecutableByOthers(filepath.Join(top, "bin", "x"))
			switch {
			case test.says == "" && err != nil:
				t.Errorf("somebody can execute it, and yet: %v", err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("it says %v, and not %q", err, test.says)
			}
		})
	}
}

func TestAccessList(t *testing.T) {
	dir, err := OpenDir(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if has, err := dir.HasAccessList(); has || err != nil {
		t.Fatalf("a directory without one: %v, %v", has, err)
	}
	if err := dir.DropAccessList("test"); err != nil {
		t.Error(err)
	}
	// version 2; u::rwx, u:8:---, g::r-x, m::r-x, o::r-x
	list := []byte{2, 0, 0, 0,
		1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 0, 0, 8, 0, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
		16, 0, 5, 0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255}
	if err := unix.Fsetxattr(dir.Fd(), accessList, list, 0); err != nil {
		t.Skipf("left out, it needs a file system with access lists: %v", err)
	}
	if has, err := dir.HasAccessList(); !has || err != nil {
		t.Fatalf("a directory with one: %v, %v", has, err)
	}
	if err := dir.DropAccessList("test"); err != nil {
		t.Error(err)
	}
	if has, err := dir.HasAccessList(); has || err != nil {
		t.Errorf("it is still there: %v, %v", has, err)
	}
}
