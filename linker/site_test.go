package linker

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"relinkd/fsys"
	"relinkd/internal/standin"
	"relinkd/linker/launcher"
	"relinkd/pool"
)

const (
	target = "imapd"
	copies = 3
)

// site is an install directory with the source F at path, copies of it, and a private link to the
// first of them: the moment before step 6 of publishing.
type site struct {
	t    testing.TB
	dir  string
	path string
	form Form

	source fsys.Info // F
	newest fsys.ID   // what somebody else last put at path: it must never be lost
	writer *os.File  // a writer of the file at path, while it is open
}

// newSite makes a site in a directory of its own inside dir, where path is to be a symbolic link.
func newSite(t testing.TB, dir string) *site { return newSiteOf(t, dir, Symlink) }

func newSiteOf(t testing.TB, dir string, form Form) *site {
	t.Helper()
	own, err := os.MkdirTemp(dir, "site")
	must(t, err)
	must(t, os.Chmod(own, 0o755))
	s := &site{t: t, dir: own, path: filepath.Join(own, target), form: form}
	s.put(s.path, "F")
	s.source = s.lstat(s.path)
	s.newest = s.source.ID
	for n := range copies {
		s.put(s.copy(n+1), "F")
	}
	l := s.open(nil)
	defer l.Close()
	must(t, l.MakePrivate())
	must(t, l.Rotate(1))
	return s
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) copy(n int) string { return filepath.Join(s.dir, pool.CopyName(target, n)) }

// private is a name of the target in the private directory: NAME followed by suffix.
func (s *site) private(suffix string) string {
	return filepath.Join(s.dir, PrivateDir, target+suffix)
}

// put makes an executable of that version, renamed into place as a package manager does it, and
// returns its identity.
func (s *site) put(path, version string) fsys.ID {
	s.t.Helper()
	must(s.t, standin.Write(path, version))
	return s.lstat(path).ID
}

// arrive is somebody else's putting a new version at path.
func (s *site) arrive(version string) { s.newest = s.put(s.path, version) }

// link makes a symbolic link and renames it into place: dpkg, or an administrator.
func (s *site) link(text, path string) fsys.ID {
	s.t.Helper()
	must(s.t, os.Symlink(text, path+".dpkg-tmp"))
	must(s.t, os.Rename(path+".dpkg-tmp", path))
	return s.lstat(path).ID
}

// ours puts relinkd's own link at path, or at another name, without relinkd.
func (s *site) ours(path string) fsys.ID {
	s.t.Helper()
	if s.form == Symlink {
		return s.link(PrivateDir+"/"+target, path)
	}
	content, err := launcher.New(s.private(""))
	must(s.t, err)
	must(s.t, os.WriteFile(path+".dpkg-tmp", content, 0o755))
	must(s.t, os.Rename(path+".dpkg-tmp", path))
	return s.lstat(path).ID
}

// hasOurs tells whether relinkd's own link stands at path, in either form.
func (s *site) hasOurs() bool {
	s.t.Helper()
	if text, err := os.Readlink(s.path); err == nil {
		return text == PrivateDir+"/"+target
	}
	want, err := launcher.New(s.private(""))
	must(s.t, err)
	content, err := os.ReadFile(s.path)
	return err == nil && bytes.Equal(content, want)
}

// other is the same site for a relinkd that puts the other form at path.
func (s *site) other() *site {
	o := *s
	o.form = Launcher - s.form
	return &o
}

// published goes on to the state after step 7.
func (s *site) published() *site {
	s.t.Helper()
	l := s.open(nil)
	defer l.Close()
	must(s.t, l.Publish(s.source))
	return s
}

func (s *site) open(fs *fsys.FS) *Link {
	s.t.Helper()
	l, err := Open(s.path, fs)
	must(s.t, err)
	l.SetForm(s.form)
	l.SetJudge(isELF)
	return l
}

func (s *site) lstat(path string) fsys.Info {
	s.t.Helper()
	dir, err := fsys.OpenDir(filepath.Dir(path), nil)
	must(s.t, err)
	defer dir.Close()
	info, err := dir.Lstat(filepath.Base(path))
	must(s.t, err)
	return info
}

// isELF is what is asked of a source here, of which watch/install asks more.
func isELF(f *os.File) error {
	head := make([]byte, launcher.MaxSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	if !bytes.HasPrefix(head[:n], []byte(elf.ELFMAG)) || bytes.Contains(head[:n], []byte("relinkd\x00")) {
		return errors.New("it is no program")
	}
	return nil
}

// isCopy compares a file with the copies, whose content is F's.
func isCopy(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	content := make([]byte, info.Size())
	if _, err := f.ReadAt(content, 0); err != nil {
		return false, err
	}
	return bytes.Equal(content, standin.ELF("F")), nil
}

// run executes a stand-in, whose input is at its end at once.
func run(path string) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	process, err := os.StartProcess(path, []string{target}, &os.ProcAttr{Files: []*os.File{null}})
	if err != nil {
		return err
	}
	state, err := process.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return err
}

// holds reports under which names, below the install directory, the file id stands.
func (s *site) holds(id fsys.ID) (names []string) {
	s.t.Helper()
	for _, dir := range []string{s.dir, filepath.Join(s.dir, PrivateDir)} {
		for _, name := range s.names(dir) {
			if s.lstat(filepath.Join(dir, name)).ID == id {
				names = append(names, filepath.Join(dir, name))
			}
		}
	}
	return names
}

// names lists a directory, nothing for a missing one.
func (s *site) names(dir string) (names []string) {
	s.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// keeps fails the test unless the newest file still stands somewhere.
func (s *site) keeps(when string) {
	s.t.Helper()
	if len(s.holds(s.newest)) == 0 {
		s.t.Errorf("%s: the newest file is lost", when)
	}
}

// executes fails the test unless path does.
func (s *site) executes(when string) {
	s.t.Helper()
	if s.writer != nil { // ETXTBSY is the writer's doing
		return
	}
	if err := run(s.path); err != nil {
		s.t.Errorf("%s: path does not execute: %v", when, err)
	}
}

// rested fails the test unless path holds what it should when nothing is under way, and nothing but
// the documented names is left.
func (s *site) rested(private ...string) {
	s.t.Helper()
	s.keeps("at rest")
	s.executes("at rest")
	at, pristine := s.lstat(s.path), ""
	if at.ID != s.newest {
		pristine = s.private(suffixPristine)
		if !s.hasOurs() {
			s.t.Error("path is neither our link nor the newest file")
		}
		if !slices.Contains(s.holds(s.newest), pristine) {
			s.t.Errorf("the newest file is %v, want it to be the pristine", s.holds(s.newest))
		}
	}
	want := []string{target}
	for n := range copies {
		want = append(want, pool.CopyName(target, n+1))
	}
	names := s.names(s.dir)
	names = slices.DeleteFunc(names, func(name string) bool { return name == PrivateDir })
	if !slices.Equal(names, want) {
		s.t.Errorf("the install directory holds %q, want %q", names, want)
	}
	if private == nil {
		private = []string{target, target + suffixPristine, target + suffixPrevious, target + suffixDrifted}
	}
	for _, name := range s.names(filepath.Join(s.dir, PrivateDir)) {
		if !slices.Contains(private, name) && !strings.HasPrefix(name, target+suffixGeneration) {
			s.t.Errorf("%s is left in the private directory", name)
		}
	}
}

// shows fails the test unless each name, a suffix in the private directory or "path", is the file.
func (s *site) shows(want map[string]fsys.ID) {
	s.t.Helper()
	for suffix, id := range want {
		name := s.private(suffix)
		if suffix == "path" {
			name = s.path
		}
		if got := s.lstat(name).ID; got != id {
			s.t.Errorf("%s is inode %d, want %d", name, got.Ino, id.Ino)
		}
	}
}

// tree describes every name below dir: its type, mode, inode and what it says or holds.
func (s *site) tree(dir string) (tree []string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		text, _ := os.Readlink(path) // "" for what is no link
		content := ""
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = strconv.Quote(string(b))
		}
		tree = append(tree, fmt.Sprint(path, info.Mode(), s.lstat(path).ID, s.lstat(path).UID, text, content))
		return nil
	}))
	return tree
}
