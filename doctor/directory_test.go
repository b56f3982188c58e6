package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
	"relinkd/linker"
)

// tree is all names below dir with the inode and, but for the private directory itself, the change time:
// a file that was made in it and removed changes nothing else.
func tree(t *testing.T, dir string) map[string]fsys.Info {
	t.Helper()
	all := map[string]fsys.Info{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		info := fsys.InfoOf(&st)
		if filepath.Base(path) == linker.PrivateDir {
			info.Mtime, info.Ctime = 0, 0
		}
		all[path] = info
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// On every file system the trials find out what it can do, and leave all as it was.
func TestTrialsLeaveNothing(t *testing.T) {
	reflinks := map[string]answer{"ext4": no, "xfs": yes, "btrfs": yes, "tmpfs": no}
	fstest.Each(t, func(t *testing.T, dir string) {
		path := filepath.Join(dir, "imapd")
		if err := standin.Write(path, "1"); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(t.Name())
		before := tree(t, dir)
		d := gatherDirectory(path, "symlink")
		if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
			t.Errorf("without a private directory something has changed:\n%s", diff)
		}
		if name != "scratch" && d.FS != name || d.Exchange != yes || d.Tried || d.Leases != yes || d.Stands != linker.File || d.Problem != "" {
			t.Errorf("%+v", d)
		}
		if want, known := reflinks[name]; known && d.Reflink != want {
			t.Errorf("reflinks: %v, want %v", d.Reflink, want)
		}

		private := filepath.Join(dir, linker.PrivateDir)
		if err := os.Mkdir(private, 0o755); err != nil {
			t.Fatal(err)
		}
		before = tree(t, dir)
		if os.Getuid() != 0 { // who is not root concludes from the type
			if d = gatherDirectory(path, "symlink"); d.Tried || d.Exchange != yes {
				t.Errorf("tried by an ordinary user: %+v", d)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("something has changed:\n%s", diff)
			}
			return
		}
		for _, left := range []string{"", trialA, trialB} { // by a trial that was killed
			if left != "" {
				write(t, filepath.Join(private, left), "")
			}
			if d = gatherDirectory(path, "symlink"); !d.Tried || d.Exchange != yes {
				t.Errorf("with %q left before: %+v", left, d)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("with %q left before something is left, or has changed:\n%s", left, diff)
			}
		}
	})
}

func TestTrialFailsAndLeavesNothing(t *testing.T) {
	for _, op := range []fsys.Op{"doctor: create", "doctor: exchange"} {
		dir := t.TempDir()
		for _, errno := range []error{unix.EROFS, unix.EINVAL} {
			private, err := fsys.OpenDir(dir, &fsys.FS{Before: func(at fsys.Op, path string) error {
				if at == op && filepath.Base(path) != trialA {
					return errno
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := tryExchange(private)
			if want := op == "doctor: exchange" && errno == unix.EINVAL; (got == no) != want || (err == nil) != want {
				t.Errorf("%s fails with %v: %v, %v", op, errno, got, err)
			}
			if names, _ := private.Names(); len(names) > 0 {
				t.Errorf("%s fails with %v, and leaves %q", op, errno, names)
			}
			private.Close()
		}
	}
}

func TestDirectory(t *testing.T) {
	sound := directoryFacts{Path: imapd, Publish: "symlink", Stands: linker.File, FS: "ext4", Exchange: yes, Reflink: no, Leases: yes}
	for name, c := range map[string]struct {
		change func(*directoryFacts)
		want   []string
	}{
		"packaged":     {func(*directoryFacts) {}, []string{"fine /usr/lib/cyrus/bin/imapd is a packaged executable, not managed now", "fine RENAME_EXCHANGE works on ext4, by its type", "fine no reflinks on ext4", "fine leases"}},
		"managed":      {func(d *directoryFacts) { d.Managed, d.Stands, d.Tried = true, linker.Ours, true }, []string{"fine /usr/lib/cyrus/bin/imapd is managed (publish = \"symlink\")", "fine RENAME_EXCHANGE works on ext4, tried", "fine", "fine"}},
		"absent":       {func(d *directoryFacts) { d.Stands = linker.Nothing }, []string{"note nothing is installed at /usr/lib/cyrus/bin/imapd"}},
		"no directory": {func(d *directoryFacts) { d.Err = "open directory /usr/lib/cyrus/bin: no such file or directory" }, []string{"TODO /usr/lib/cyrus/bin/imapd: open directory"}},
		"hand-made":    {func(d *directoryFacts) { d.Stands, d.Text = linker.PoolLink, "imapd_017" }, []string{"TODO /usr/lib/cyrus/bin/imapd is a link to imapd_017, a copy that somebody made by hand | relinkd manage imapd", "fine", "fine", "fine"}},
		"a link away":  {func(d *directoryFacts) { d.Stands, d.Text = linker.OtherLink, "/opt/imapd" }, []string{"TODO /usr/lib/cyrus/bin/imapd is a link elsewhere (/opt/imapd)", "fine", "fine", "fine"}},
		"unfit":        {func(d *directoryFacts) { d.Problem = "can be written by others" }, []string{"TODO the executable cannot be copied: can be written by others", "fine", "fine", "fine"}},
		"NFS, noexec": {func(d *directoryFacts) { d.FS, d.Exchange, d.Leases, d.Noexec = "NFS", no, no, true },
			[]string{"fine", "TODO /usr/lib/cyrus/bin is on a file system that is mounted noexec", "note no RENAME_EXCHANGE on NFS", "fine no reflinks", "note no leases on NFS"}},
		"unknown": {func(d *directoryFacts) { d.FS, d.Exchange, d.Reflink, d.Leases = "", unknown, unknown, unknown }, []string{"fine", "note RENAME_EXCHANGE on this file system is not known"}},
		"sidecar": {func(d *directoryFacts) { d.Publish, d.Exchange, d.Reflink = "none", no, yes }, []string{"fine", "fine path is never exchanged", "fine reflinks", "fine"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := sound
			c.change(&d)
			says(t, d.judge("imapd"), c.want...)
		})
	}
}

func TestGatherDirectoryOfWhatIsUnfit(t *testing.T) {
	_, path := installed(t)
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if d := gatherDirectory(path, "symlink"); d.Problem == "" {
		t.Errorf("a file that anybody may write to is fit: %+v", d)
	}
	if d := gatherDirectory(path+"x", "symlink"); d.Stands != linker.Nothing || d.Err != "" {
		t.Errorf("%+v", d)
	}
	if d := gatherDirectory(filepath.Join(path+"x", "y"), "symlink"); d.Err == "" {
		t.Errorf("%+v", d)
	}
}
