package administrator_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/standin"
)

// walk is a site and what is known of it: what an administrator has done, never what relinkd should have.
type walk struct {
	*site
	disk  disk
	story []string // a line a step

	made     [][]byte // the programs made so far
	history  [][]byte // the complete programs that others have put at path, oldest first
	newest   []byte   // the last of them that no step has destroyed itself; nil for none
	taken    bool     // relinkd has had that in force
	inForce  []byte   // the last of them that it had
	meant    []byte   // what was put at the pristine since: who does that may mean it
	executed bool     // path, when last looked at
	touched  bool     // something was done since the daemon has gone
	spoiled  bool     // the state directory is not as relinkd wants it, so that it may not start
	sound    bool     // when last looked at all was well: managed, steady, and path executes the newest
	hampered bool     // something was done that keeps relinkd from mending what it could mend
	mends    bool     // the step is one that relinkd stands without harm, or makes good by itself
	shuts    bool     // the step is done to the private directory, which is left to whom it was given

	names   map[string]fileID // of the newest program, before a step
	shut    bool              // what kept the walk from seeing all of them
	gone    map[string]bool   // the names among them that the step has taken away itself
	written map[fileID]bool   // the files that it has written into
}

// disk is the file system of the install directory.
type disk struct {
	point string // where it is mounted; "" for one that is not the test's own
}

type fileID struct{ dev, ino uint64 }

func idOf(path string) (fileID, bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return fileID{}, false
	}
	return fileID{uint64(st.Dev), st.Ino}, true
}

// program makes a new version.
func (w *walk) program() []byte {
	content := standin.ELF(fmt.Sprintf("v%d", len(w.made)+1))
	w.made = append(w.made, content)
	return content
}

// complete reports whether content is a whole program, with something after it perhaps.
func (w *walk) complete(content []byte) bool {
	return slices.ContainsFunc(w.made, func(whole []byte) bool { return bytes.HasPrefix(content, whole) })
}

func (w *walk) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

// put notes that a complete program was put at path.
func (w *walk) put(content []byte) {
	w.taken = w.taken && bytes.Equal(content, w.newest)
	w.newest, w.meant = content, nil
	w.history = append(slices.DeleteFunc(w.history, func(c []byte) bool { return bytes.Equal(c, content) }), content)
}

// managed reports whether path is a name that relinkd looks after: that of the executable, of a copy or in the
// private directory. What an administrator has put under other names is theirs to find, and a copy that is not
// finished is no place where a program is kept.
func (w *walk) managed(path string) bool {
	if strings.HasSuffix(path, ".new") {
		return false
	}
	return path == w.path || strings.HasPrefix(path, w.privateDir()+"/") || filepath.Dir(path) == w.bin && copyName.MatchString(filepath.Base(path))
}

// holders are the managed names of all files that hold content. An ordinary user may be shut out of a place
// where there are more.
func (w *walk) holders(content []byte) (found map[string]fileID, shut bool) {
	found = map[string]fileID{}
	_ = filepath.WalkDir(w.bin, func(path string, d fs.DirEntry, err error) error {
		shut = shut || errors.Is(err, fs.ErrPermission)
		if err != nil || !d.Type().IsRegular() || !w.managed(path) {
			return nil // a file that has just gone is looked for at its next place the next time
		}
		info, err := d.Info()
		shut = shut || errors.Is(err, fs.ErrPermission)
		if err != nil || info.Size() != int64(len(content)) {
			return nil
		}
		got, err := readFile(path)
		shut = shut || errors.Is(err, fs.ErrPermission)
		if err == nil && bytes.Equal(got, content) {
			if id, ok := idOf(path); ok {
				found[path] = id
			}
		}
		return nil
	})
	return found, shut
}

// isGone reports whether no file holds content any more.
func (w *walk) isGone(content []byte) bool {
	found, shut := w.holders(content)
	return len(found) == 0 && !shut
}

// before begins a step, and after ends it: a program of which the step itself has destroyed the last file is
// not looked for any more. One that was put at path and never came into force stands at path alone: copies of it that
// a crash has left go with it.
func (w *walk) before() {
	w.gone, w.written, w.mends = map[string]bool{}, map[fileID]bool{}, false
	w.names = nil
	if w.newest == nil {
		return
	}
	w.names, w.shut = w.holders(w.newest)
	if w.taken {
		return
	}
	if w.d != nil {
		if st, err := w.status(); err == nil {
			w.sees(st)
		}
		return
	}
	kept := w.pristine()
	if w.publish == "none" {
		kept = w.privateLink()
	}
	if content, err := readFile(kept); err == nil && bytes.Equal(content, w.newest) { // before it was killed
		w.taken, w.inForce = true, w.newest
	}
}

// sees notes that the newest program is in force.
func (w *walk) sees(st status) {
	if w.newest != nil && st.hasInForce(w.newest) {
		w.taken, w.inForce = true, w.newest
	}
}

func (w *walk) after(newest []byte) {
	if newest == nil || !bytes.Equal(newest, w.newest) {
		return
	}
	_, alone := w.names[w.path]
	alone = alone && !w.taken // there is nothing but what a crash has left beside it
	for path, id := range w.names {
		if !w.gone[path] && !w.written[id] && (!alone || path == w.path) {
			return
		}
	}
	found, _ := w.holders(newest)
	if _, again := found[w.path]; again || !alone && len(found) > 0 || w.shut && len(w.names) == 0 {
		return // it has put the same there again, or nobody has seen it before
	}
	if id, ok := idOf(w.path); ok && w.written[id] && kindOf(w.path) == file {
		if content, err := readFile(w.path); err == nil && w.complete(content) { // written into path by another name
			w.put(content)
			return
		}
	}
	w.newest, w.taken = nil, true
	defer func() { // path may lead to a program of somebody's, and then that may be meant
		if content, err := readFile(w.path); err == nil && kindOf(w.path) == link && w.complete(content) {
			w.meant = content
		}
	}()
	if alone && w.inForce != nil && !w.isGone(w.inForce) { // what came later never was
		w.newest = w.inForce
		if w.meant == nil && len(found) > 0 {
			w.meant = newest // what a crash has left of it may come into force
		}
		w.tell("  (the step has destroyed %s itself; %s is in force)", versionOf(newest), versionOf(w.newest))
		return
	}
	if w.meant != nil && !w.isGone(w.meant) { // it comes into force; those before it are earlier generations at best
		w.put(w.meant)
		w.taken = true
		w.meant = newest // what relinkd still had open it may have made copies of again
		w.tell("  (the step has destroyed %s itself; %s was meant)", versionOf(newest), versionOf(w.newest))
		return
	}
	for _, content := range slices.Backward(w.history) {
		if !bytes.Equal(content, newest) && !w.isGone(content) {
			w.newest = content
			break
		}
	}
	if w.newest != nil && len(found) > 0 {
		w.meant = newest // what a crash has left of it may come into force
	} else if content, err := readFile(w.pristine()); err == nil && w.meant == nil && w.complete(content) {
		w.meant = content // somebody has put it there once, and nothing newer is left
	}
	w.tell("  (the step has destroyed %s itself; the newest is %s now)", versionOf(newest), versionOf(w.newest))
}

// takes notes what a call takes away: path and all below it.
func (w *walk) takes(path string) {
	for p := range w.names {
		if p == path || strings.HasPrefix(p, path+"/") {
			w.gone[p] = true
		}
	}
}

// writesTo notes a file that is written into, by whatever name.
func (w *walk) writesTo(f *os.File) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) == nil {
		w.written[fileID{uint64(st.Dev), st.Ino}] = true
	}
}

// The calls of administrators' tools. An error is the tool's, and no concern of relinkd.

// readFile is os.ReadFile, but does not wait for the other end of a fifo.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no file", path))
	}
	return io.ReadAll(f)
}

func (w *walk) unlink(path string) error {
	err := unix.Unlink(path)
	if err == nil {
		w.takes(path)
	}
	return err
}

func (w *walk) removeAll(path string) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() { // to open a fifo would wait for its other end
		return errors.Join(err, unix.ENOTDIR)
	}
	err := os.RemoveAll(path)
	if err == nil {
		w.takes(path)
		return nil
	}
	for p := range w.names { // a part of it is gone
		if _, err := os.Lstat(p); err != nil && strings.HasPrefix(p, path+"/") {
			w.gone[p] = true
		}
	}
	return err
}

// rename moves what from is to to, over what stands there.
func (w *walk) rename(from, to string) error {
	moved := map[string]fileID{}
	for p, id := range w.names {
		if p == from || strings.HasPrefix(p, from+"/") {
			moved[to+strings.TrimPrefix(p, from)] = id
		}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	w.takes(to)
	for p, id := range moved { // the file has another name, and is as good as before
		if w.managed(p) {
			w.names[p] = id
			delete(w.gone, p)
		}
	}
	w.takes(from)
	return nil
}

// create makes a file that is not there, written in parts like cp and install do.
func (w *walk) create(path string, content []byte, perm uint32) error {
	syscall.ForkLock.RLock() // a child that has it open for writing would keep it from being executed
	defer syscall.ForkLock.RUnlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return finish(f, content, perm)
}

func finish(f *os.File, content []byte, perm uint32) error {
	half := len(content) / 2
	_, err := f.Write(content[:half])
	if err == nil {
		_, err = f.Write(content[half:])
	}
	if err == nil {
		err = unix.Fchmod(int(f.Fd()), perm)
	}
	return errors.Join(err, f.Close())
}

// overwrite writes into the file that path leads to, as cp and > do, and makes one where there is none.
func (w *walk) overwrite(path string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|unix.O_NONBLOCK, 0o755)
	if err != nil {
		return err
	}
	w.writesTo(f)
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func (w *walk) appendTo(path string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	w.writesTo(f)
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func (w *walk) truncate(path string, size int64) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	w.writesTo(f)
	return errors.Join(f.Truncate(size), f.Close())
}

// symlink puts a link at path as ln -sfn does: another name, renamed over it; or as scripts do, with a moment
// in which nothing is there.
func (w *walk) symlink(text, path string, atOnce bool) error {
	if !atOnce {
		if err := w.unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		return os.Symlink(text, path)
	}
	tmp := path + ".ln"
	if err := os.Symlink(text, tmp); err != nil {
		return err
	}
	if err := w.rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}

// arrive puts a finished file at path in one step, by way of a temporary name.
func (w *walk) arrive(tmp, path string, content []byte, perm uint32) error {
	os.Remove(tmp)
	err := w.create(tmp, content, perm)
	if err == nil {
		err = w.rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// copyTree makes what from is at to, as cp -a does: links as links, with modes and times. Each file comes under
// a temporary name. What stands at to and not at from goes, if exact says so.
func (w *walk) copyTree(from, to string, exact bool) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	there := map[string]bool{}
	var failed []error
	for _, e := range entries {
		there[e.Name()] = true
		failed = append(failed, w.copyEntry(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), exact))
	}
	if exact {
		old, err := os.ReadDir(to)
		failed = append(failed, err)
		for _, e := range old {
			if !there[e.Name()] {
				failed = append(failed, w.removeAll(filepath.Join(to, e.Name())))
			}
		}
	}
	return errors.Join(failed...)
}

func (w *walk) copyEntry(from, to string, exact bool) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".Kx3b7Q")
	os.Remove(tmp)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err := w.copyTree(from, to, exact)
		return errors.Join(err, unix.Chmod(to, st.Mode&0o7777))
	case unix.S_IFLNK:
		text, err := os.Readlink(from)
		if err == nil {
			err = os.Symlink(text, tmp)
		}
		if err != nil {
			return err
		}
	case unix.S_IFREG:
		content, err := readFile(from)
		if err == nil {
			err = w.create(tmp, content, st.Mode&0o7777)
		}
		if err != nil {
			return err
		}
	default:
		return nil
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, tmp, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if kindOf(to) == other {
		if err := w.removeAll(to); err != nil {
			return err
		}
	}
	return w.rename(tmp, to)
}

// putTree notes a program that copyTree has put at path: a file that is neither a launcher nor cut short.
func (w *walk) putTree(from string) {
	if kindOf(from) == file {
		if content, err := readFile(from); err == nil && w.complete(content) {
			w.put(content)
		}
	}
}

func versionOf(content []byte) string {
	if content == nil {
		return "none"
	}
	sum := sha256.Sum256(content)
	if i := bytes.LastIndexByte(content, 'v'); i >= 0 && len(content)-i < 40 {
		return fmt.Sprintf("%q (%s)", content[i:], hex.EncodeToString(sum[:4]))
	}
	return hex.EncodeToString(sum[:4])
}

// good reports whether content is that of the newest program.
func (w *walk) good(content []byte) bool {
	return bytes.Equal(content, w.newest) || w.meant != nil && bytes.Equal(content, w.meant)
}

// verdict is what is wrong now, and whether the daemon says that it is still at work on it.
func (w *walk) verdict() (wrong string, underWay bool) {
	if w.newest != nil && w.isGone(w.newest) {
		return "the newest program, " + versionOf(w.newest) + ", is nowhere", false
	}
	if w.d == nil {
		return w.verdictWithoutDaemon(), false
	}
	if w.d.ended() {
		if w.spoiled && w.d.cmd.ProcessState.ExitCode() == 1 {
			w.tell("  (the daemon does not start for the state directory, which is made anew)")
			w.spoiled = false
			_ = os.Chmod(w.state(), 0o700) // it may be a link to nowhere
			if err := os.RemoveAll(w.state()); err != nil {
				return err.Error(), false
			}
		} else if why := w.refusedThread(); why != "" {
			w.tell("  (the host has refused the daemon a thread: %s)", why)
		} else if w.d.cmd.ProcessState.ExitCode() != 75 {
			return fmt.Sprintf("the daemon has ended: %v", w.d.cmd.ProcessState), false
		}
		if err := w.start(); err != nil { // as systemd does
			return err.Error(), false
		}
		w.tell("  (the daemon is started anew)")
	}
	st, err := w.status()
	if err != nil {
		return fmt.Sprintf("the daemon does not answer: %v", err), true
	}
	runs, execErr := execute(w.path)
	w.executed, w.sound = execErr == nil, false
	if st.Publish == "none" && st.State != "released" && st.State != "absent" && execErr == nil { // what cyrus.conf names
		runs, execErr = execute(w.privateLink())
	}
	switch {
	case st.underWay():
		return "the daemon is at work: " + st.String(), true
	case st.State == "released":
		return "", false // what executes then is the administrator's own
	case w.mends && (execErr != nil || w.newest != nil && !w.good(runs)):
		return fmt.Sprintf("relinkd makes good by itself what was done, and what runs is %s (%v), not the newest program, %s; the status says: %s",
			versionOf(runs), execErr, versionOf(w.newest), st), false
	case w.mends && !w.shuts && st.State != "steady":
		return fmt.Sprintf("relinkd makes good by itself what was done, and one bad copy costs one copy: %s", st), false
	case execErr != nil && !st.tells():
		return fmt.Sprintf("an ordinary user cannot execute path (%v), and the status says: %s", execErr, st), false
	case execErr == nil && st.Executes != nil && !*st.Executes:
		return fmt.Sprintf("an ordinary user executes path, and the status says: %s", st), false
	case execErr == nil && st.State == "steady" && st.Reason == "" && w.newest != nil && !w.good(runs):
		return fmt.Sprintf("what runs is %s, the newest is %s, and the status says: %s", versionOf(runs), versionOf(w.newest), st), false
	}
	w.sees(st)
	w.sound = execErr == nil && st.State == "steady" && w.newest != nil && w.good(runs)
	return "", false
}

// verdictWithoutDaemon is for a daemon that was stopped or killed: until somebody does something all works.
func (w *walk) verdictWithoutDaemon() string {
	if w.touched || !w.executed {
		return ""
	}
	if _, err := execute(w.path); err != nil {
		return fmt.Sprintf("with the daemon gone, an ordinary user cannot execute path: %v", err)
	}
	return ""
}

// How long something may be wrong: two seconds and, for a busy machine, so many looks, for which processes
// are started and the daemon is asked; but each look may take long, where what stands there executes itself. It may be
// at work for longer.
const (
	wrongFor   = 2 * time.Second
	wrongLooks = 150
	wrongMost  = 30 * time.Second
	workFor    = 90 * time.Second
)

// settle waits until nothing is wrong, and returns what is wrong for too long.
func (w *walk) settle() string {
	begin := time.Now()
	since, looks := begin, 0
	for {
		wrong, underWay := w.verdict()
		switch {
		case wrong == "":
			return ""
		case underWay:
			since, looks = time.Now(), 0
			if time.Since(begin) > workFor {
				return wrong
			}
		case time.Since(since) > wrongFor && looks > wrongLooks, looks > 10*wrongLooks, time.Since(since) > wrongMost:
			return wrong
		}
		looks++
		time.Sleep(5 * time.Millisecond)
	}
}

// restore restores, and checks what that has come to.
func (w *walk) restore(args ...string) (wrong string) {
	wasReleased, ours := kindOf(w.released()) != nothing, kindOf(w.privateDir()) != nothing
	before := describe(w.path)
	code, out, err := w.verb(append([]string{"restore", name}, args...)...)
	w.tell("  restore: %d %q", code, out)
	if err != nil {
		return err.Error()
	}
	if code != 0 {
		if w.mends {
			return "restore has failed although all was well"
		}
		if !wasReleased && kindOf(w.released()) != nothing {
			return "restore has failed, and the target is released all the same"
		}
		return ""
	}
	if wasReleased && strings.Contains(out, "was not managed") { // what stands at path is the administrator's own
		if now := describe(w.path); now != before {
			return fmt.Sprintf("restore had nothing to restore, and path was %s and is %s", before, now)
		}
		return ""
	}
	if ours && w.newest != nil {
		content, err := readFile(w.path)
		if kindOf(w.path) != file || !w.good(content) {
			return fmt.Sprintf("restore has succeeded, and at path stands %s (%v), not the newest program, %s", describe(w.path), err, versionOf(w.newest))
		}
		if !bytes.Equal(content, w.newest) { // what was meant stands at path: the other may go
			w.put(content)
		}
		w.meant = nil
	}
	if !ours {
		return ""
	}
	if info, err := os.Lstat(w.privateDir()); err == nil && info.IsDir() && !strings.Contains(out, ".relinkd") { // a link is a stranger's
		return "restore has succeeded, and leaves " + w.privateDir() + " without naming it"
	}
	entries, _ := os.ReadDir(w.bin)
	for _, e := range entries {
		if e.Type().IsRegular() && copyName.MatchString(e.Name()) && !strings.Contains(out, e.Name()) {
			return "restore has succeeded, and leaves " + e.Name() + " without naming it"
		}
	}
	return ""
}

var copyName = regexp.MustCompile(`^imapd_[0-9]{3}$`)

// describe is what stands at path, in words.
func describe(path string) string {
	switch kindOf(path) {
	case nothing:
		return "nothing"
	case link:
		text, _ := os.Readlink(path)
		return "a link to " + text
	case launches:
		return "a launcher"
	case file:
		content, _ := readFile(path)
		return fmt.Sprintf("a file of %d bytes, %s", len(content), versionOf(content))
	}
	return "no file"
}

// tree is everything that stands there, for the one who reads what went wrong.
func (w *walk) tree() string {
	var b strings.Builder
	_ = filepath.WalkDir(w.bin, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(&b, "  %v\n", err)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "  %s %5d links %d inode %-6d %-40s %s\n", info.Mode(), st.Uid, st.Nlink, st.Ino, strings.TrimPrefix(path, w.root+"/"), describe(path))
		return nil
	})
	return b.String()
}
