package fsys

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnDir: a directory is made where nobody else can interfere, and nowhere else.
func TestOwnDir(t *testing.T) {
	for _, tt := range []struct {
		name      string
		needsRoot bool
		make      func(t *testing.T, above string)
		want      string
		made      bool
	}{
		{"missing", false, func(*testing.T, string) {}, "", true},
		{"missing, in a sticky one", false, func(t *testing.T, above string) { must(t, os.Chmod(above, 0o777|os.ModeSticky)) }, "", true},
		{"missing, where all may write", false, func(t *testing.T, above string) { must(t, os.Chmod(above, 0o777)) }, "can be written by others", false},
		{"missing, in a stranger's", true, func(t *testing.T, above string) { must(t, os.Chown(above, 12345, 0)) }, "belongs to uid 12345", false},
		{"missing, and the one above too", false, func(t *testing.T, above string) { must(t, os.Remove(above)) }, "no such file", false},
		{"there", false, func(t *testing.T, above string) { must(t, os.Mkdir(filepath.Join(above, "own"), 0o700)) }, "", true},
		{"there, a stranger's", true, func(t *testing.T, above string) {
			must(t, os.Mkdir(filepath.Join(above, "own"), 0o700))
			must(t, os.Chown(filepath.Join(above, "own"), 12345, 0))
		}, "belongs to uid 12345", true},
		{"a link that leads nowhere", false, func(t *testing.T, above string) {
			must(t, os.Symlink(filepath.Join(above, "elsewhere"), filepath.Join(above, "own")))
		}, "not a directory", true},
		{"a file", false, func(t *testing.T, above string) {
			must(t, os.WriteFile(filepath.Join(above, "own"), nil, 0o644))
		}, "not a directory", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.needsRoot && os.Geteuid() != 0 {
				t.Skip("left out, it needs root: directories of another owner")
			}
			above := filepath.Join(t.TempDir(), "above")
			must(t, os.Mkdir(above, 0o755))
			for _, dir := range []string{filepath.Dir(above), above} {
				must(t, os.Chmod(dir, 0o755)) // whatever the umask
			}
			tt.make(t, above)
			d, err := OwnDir(filepath.Join(above, "own"), nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if err == nil {
				d.Close()
			}
			if _, err := os.Lstat(filepath.Join(above, "own")); (err == nil) != tt.made {
				t.Errorf("afterwards: %v, want it there: %v", err, tt.made)
			}
			if _, err := os.Lstat(filepath.Join(above, "elsewhere")); err == nil {
				t.Error("a directory was made through a link")
			}
		})
	}
}

// TestCheckOwners asks about the directory bin and about the file in it, in a directory of our own.
func TestCheckOwners(t *testing.T) {
	const stranger = 12345
	mode := func(m os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, bin string) { must(t, os.Chmod(bin, m)) }
	}
	for _, tt := range []struct {
		name      string
		needsRoot bool
		make      func(t *testing.T, bin string)
		dir, file string // what each error says, "" for none
	}{
		{"fine", false, mode(0o755), "", ""},
		{"group", false, mode(0o775), "bin can be written by others than its owner (mode 0775); try: chmod go-w ", "bin can be written by others"},
		{"others", false, mode(0o757), "bin can be written by others", "bin can be written by others"},
		{"sticky", false, mode(0o777 | os.ModeSticky), "bin can be written by others", ""},
		{"sticky, nothing there", false, func(t *testing.T, bin string) {
			mode(0o777|os.ModeSticky)(t, bin)
			must(t, os.Remove(filepath.Join(bin, "file")))
		}, "bin can be written by others", "no such file"},
		{"above", false, func(t *testing.T, bin string) { must(t, os.Chmod(filepath.Dir(bin), 0o777)) },
			"can be written by others", "can be written by others"},
		{"above, sticky", false, func(t *testing.T, bin string) { must(t, os.Chmod(filepath.Dir(bin), 0o777|os.ModeSticky)) }, "", ""},
		{"missing", false, func(t *testing.T, bin string) { must(t, os.RemoveAll(bin)) }, "no such file", "no such file"},
		{"through links", false, func(t *testing.T, bin string) {
			must(t, os.Rename(bin, bin+".real"))
			must(t, os.Symlink("../"+filepath.Base(filepath.Dir(bin))+"/./bin.real", bin))
		}, "", ""},
		{"a link to a bad place", false, func(t *testing.T, bin string) {
			must(t, os.Rename(bin, bin+".real"))
			must(t, os.Chmod(bin+".real", 0o777))
			must(t, os.Symlink(bin+".real", bin))
		}, "bin.real can be written by others", "bin.real can be written by others"},
		{"the file is a link to a bad place", false, func(t *testing.T, bin string) {
			bad := bin + ".bad"
			must(t, os.Mkdir(bad, 0o755))
			must(t, os.Chmod(bad, 0o777))
			must(t, os.Rename(filepath.Join(bin, "file"), filepath.Join(bad, "file")))
			must(t, os.Symlink("../bin.bad/file", filepath.Join(bin, "file")))
		}, "", "bin.bad can be written by others"},
		{"a circle", false, func(t *testing.T, bin string) {
			must(t, os.RemoveAll(bin))
			must(t, os.Symlink(bin, bin))
		}, "too many levels of symbolic links", "too many levels of symbolic links"},
		{"no directory", false, func(t *testing.T, bin string) {
			must(t, os.RemoveAll(bin))
			must(t, os.WriteFile(bin, nil, 0o644))
		}, "not a directory", "not a directory"},
		{"a stranger's", true, func(t *testing.T, bin string) { must(t, os.Chown(bin, stranger, 0)) },
			"bin belongs to uid 12345, who could replace what is in it; try: chown root ", "bin belongs to uid 12345"},
		{"a stranger's link in a sticky directory", true, func(t *testing.T, bin string) {
			must(t, os.Rename(bin, bin+".real"))
			must(t, os.Symlink("bin.real", bin))
			must(t, os.Lchown(bin, stranger, 0))
			must(t, os.Chmod(filepath.Dir(bin), 0o777|os.ModeSticky))
		}, "bin, in a directory that others can write to (mode 1777), belongs to uid 12345; try: chown root ", "bin, in a directory"},
		{"a stranger's file in a sticky directory", true, func(t *testing.T, bin string) {
			must(t, os.Chown(filepath.Join(bin, "file"), stranger, 0))
			mode(0o777|os.ModeSticky)(t, bin)
		}, "try: a directory of its own below it", "bin/file, in a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.needsRoot && os.Geteuid() != 0 {
				t.Skip("left out, it needs root: files of another owner")
			}
			above := t.TempDir()
			must(t, os.Chmod(above, 0o755)) // whatever the umask
			bin := filepath.Join(above, "bin")
			must(t, os.Mkdir(bin, 0o755))
			must(t, os.Chmod(bin, 0o755))
			must(t, os.WriteFile(filepath.Join(bin, "file"), nil, 0o644))
			tt.make(t, bin)
			for _, asked := range []struct {
				what string
				err  error
				want string
			}{{"directory", CheckDir(bin), tt.dir}, {"file", CheckFile(filepath.Join(bin, "file")), tt.file}} {
				if got := asked.err; asked.want == "" && got != nil || asked.want != "" && (got == nil || !strings.Contains(got.Error(), asked.want)) {
					t.Errorf("%s: %v, want %q", asked.what, got, asked.want)
				}
			}
			if err, owner := CheckDir(bin), new(OwnerError); errors.As(err, &owner) && (owner.What == "" || owner.Try == "") {
				t.Errorf("%+v does not say what to do", owner)
			}
		})
	}
}
