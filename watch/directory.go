package watch

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// checkWatch asks once a second whether events still come: an unmount ends them without a word. A verb
// without a daemon has none.
func (t *target) checkWatch(now time.Time) {
	if !t.watched || now.Sub(t.watchChecked) < time.Second {
		return
	}
	t.watchChecked = now
	t.deaf = ""
	if err := t.install.Check(); err != nil {
		t.deaf = err.Error()
	}
}

// errAbsent says that there is not even a directory to install to.
var errAbsent = errors.New("the install directory does not exist")

func isAbsent(err error) bool { return errors.Is(err, errAbsent) }

// open opens the install directory, again when another one stands in its place.
func (t *target) open() error {
	now, err := os.Stat(t.dirPath())
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s", errAbsent, t.dirPath())
	}
	if err != nil {
		return err
	}
	if t.link != nil && t.sameDir(now) {
		return nil
	}
	if t.link != nil {
		t.warn(repair("another directory", ""), "%s or %s in it is another directory than before: starting over", t.dirPath(), linker.PrivateDir)
		t.cancelWork()
		t.unload()
	}
	if err := fsys.CheckDir(t.dirPath()); err != nil {
		return err
	}
	link, err := linker.Open(t.cfg.Path, t.fs)
	if err != nil {
		return err
	}
	info, err := link.Dir().Stat()
	if err == nil {
		err = link.Guard(t.hold)
	}
	if err != nil {
		link.Close()
		return err
	}
	t.link, t.dirID = link, info.ID
	t.link.SetForm(t.form())
	t.link.SetJudge(func(f *os.File) error { return install.Complete(f, t.dirPath()) })
	t.link.Announce(t.saveOrWarn)
	t.recallPut()
	return nil
}

// recallPut tells link what an earlier run last put at path, if the manifest still knows.
func (t *target) recallPut() {
	if m, err := t.manifest(); err == nil && t.tellsOf(m) {
		t.link.SetPut(m.Link)
		t.link.SetBackup(m.Backup)
	}
}

// tellsOf reports whether the manifest is about the pristine that stands there. If not, a crash came
// between its publishing and the saving of the manifest, which names the link before ours at path.
func (t *target) tellsOf(m *pool.Manifest) bool {
	if t.link.Private() == nil {
		return false
	}
	info, err := t.link.Private().Lstat(t.link.PristineName())
	return err == nil && info.SameContent(m.Pristine)
}

// sameDir reports whether what link has open is what stands there: now is the install directory, and
// the private directory in it may have been removed by another target's restore.
func (t *target) sameDir(now os.FileInfo) bool {
	st, ok := now.Sys().(*syscall.Stat_t)
	if !ok || t.dirID != (fsys.ID{Dev: st.Dev, Ino: st.Ino}) {
		return false
	}
	if t.link.Private() == nil {
		return true
	}
	open, err := t.link.Private().Stat()
	if err != nil {
		return false
	}
	there, err := t.link.Dir().Lstat(linker.PrivateDir)
	return err == nil && there.ID == open.ID
}

// mustRestart reports whether err is that of a directory that was made again under a sandbox: the
// mount that made the old one writable does not cover the new one, and only a new start of the
// service makes another. That is asked for once per directory.
func (t *target) mustRestart(err error) bool {
	if !errors.Is(err, unix.EROFS) || t.dirID.IsZero() {
		return false
	}
	asked, merr := t.askedRestart()
	if merr != nil || asked == t.dirID {
		return false
	}
	if err := t.askRestart(t.dirID); err != nil {
		return false
	}
	t.restart = fmt.Errorf("%w: %v", ErrRestart, err)
	return true
}
