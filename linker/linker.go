// Package linker owns what stands at path and in the private link: it rotates, publishes, recovers
// and restores. It knows nothing of events or processes, decides nothing, and must never leave path
// without an executable nor destroy a file that somebody else put there.
package linker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/pool"
)

// PrivateDir is relinkd's own directory inside the install directory.
const PrivateDir = pool.PrivateDir

// The suffixes of what a target keeps in the private directory beside the private link, which bears
// path's own name so that the command name of a process stays the same.
const (
	suffixPristine = ".pristine" // the packaged file while path is ours
	suffixDrifted  = ".drifted"  // after suffixPristine: one that somebody has written to
	suffixPrevious = ".previous" // the pristine before an upgrade
	suffixPublish  = ".publish"  // what is being exchanged in or out
	suffixRotate   = ".rotate"   // the private link to be
	suffixAside    = ".aside"    // what Withdraw took from path
	suffixOut      = ".out"      // what came out, where the file system has no exchange
	suffixBack     = ".back"     // a further name of what is being given back
	suffixBefore   = ".before"   // a further name of what was given back before that
	suffixLauncher = ".launcher" // a launcher that is being written
	suffixAdopt    = ".adopt"    // a source that an operator puts in force
)

// Form is what relinkd puts at path.
type Form int

// The forms.
const (
	Symlink  Form = iota // a symbolic link to the private link
	Launcher             // a program that executes the private link
)

func (f Form) String() string { return [...]string{"symlink", "launcher"}[f] }

// Link is one target's path and private link. It belongs to one goroutine at a time.
type Link struct {
	dir     *fsys.Dir // the install directory
	private *fsys.Dir // PrivateDir in it
	name    string    // path's name, and the private link's
	form    Form      // what is put at path

	put        fsys.ID              // what relinkd last put at path; zero when not known
	noExchange bool                 // the file system was seen to lack RENAME_EXCHANGE
	announce   func()               // what Announce has set; may be nil
	complete   func(*os.File) error // what SetJudge has set; may be nil
	restored   fsys.Info            // the pristine that Restore has put back at path, or the program that it has left there
	backup     fsys.Info            // see Backup

	guard func(private *fsys.Dir) error // what Guard has set; may be nil
}

// Open opens the install directory of path and relinkd's private directory in it, without making
// or changing anything: a missing private directory shows in HasPrivate. fs may be nil.
func Open(path string, fs *fsys.FS) (*Link, error) {
	dir, err := fsys.OpenDir(filepath.Dir(path), fs)
	if err != nil {
		return nil, err
	}
	l := &Link{dir: dir, name: filepath.Base(path)}
	l.private, err = openPrivate(dir)
	if err != nil && !fsys.NotExist(err) {
		dir.Close()
		return nil, err
	}
	return l, nil
}

// openPrivate opens the private directory, ENOENT when there is none. It refuses one that is not
// relinkd's own, and anything else of that name.
func openPrivate(dir *fsys.Dir) (*fsys.Dir, error) {
	private, err := dir.OpenDir(PrivateDir)
	if isErrno(err, unix.ENOTDIR) || isErrno(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is not relinkd's directory: move it away", dir.Join(PrivateDir))
	}
	if err != nil {
		return nil, err
	}
	if err := trusted(private); err != nil {
		private.Close()
		return nil, err
	}
	return private, nil
}

// trusted refuses a private directory that somebody else could plant things in.
func trusted(private *fsys.Dir) error {
	info, err := private.Stat()
	if err != nil {
		return err
	}
	if !info.Ours() {
		return fmt.Errorf("%s belongs to user %d, not to relinkd: move it away", private.Path(), info.UID)
	}
	if info.Mode&0o022 != 0 {
		return fmt.Errorf("%s is writable by others (mode %04o): see what is in it, then chmod it to 0755", private.Path(), info.Perm())
	}
	return nil
}

// Close releases the directories. It changes nothing on disk.
func (l *Link) Close() error {
	if l.private != nil {
		l.private.Close()
	}
	return l.dir.Close()
}

// SetForm says what is put at path from now on, a Symlink at first. What stands there stays; Reclaim
// changes it.
func (l *Link) SetForm(f Form) { l.form = f }

// Dir is the install directory.
func (l *Link) Dir() *fsys.Dir { return l.dir }

// Private is relinkd's private directory, nil before MakePrivate.
func (l *Link) Private() *fsys.Dir { return l.private }

// MakePrivate makes the private directory where it is missing.
func (l *Link) MakePrivate() error {
	if l.private != nil {
		return nil
	}
	if err := l.dir.Mkdir("prepare: make directory", PrivateDir, privateMode); err != nil && !fsys.Exist(err) {
		return err
	}
	private, err := openPrivate(l.dir)
	if err != nil {
		return err
	}
	if l.guard != nil {
		if err := l.guard(private); err != nil {
			private.Close()
			return err
		}
	}
	// A umask may have taken bits that processes of other users need to pass through.
	if err := private.Chmod("prepare: chmod", privateMode); err != nil {
		private.Close()
		return err
	}
	l.private = private
	return nil
}

// Path is the installed name.
func (l *Link) Path() string { return l.dir.Join(l.name) }

// PrivateLink is the private link that belongs to path.
func PrivateLink(path string) string {
	return filepath.Join(filepath.Dir(path), PrivateDir, filepath.Base(path))
}

// PrivateLink is the path of the private link.
func (l *Link) PrivateLink() string { return PrivateLink(l.Path()) }

// PristinePath is where the packaged file of path is kept while path is ours.
func PristinePath(path string) string { return PrivateLink(path) + suffixPristine }

// PristineName is the pristine's name in the private directory.
func (l *Link) PristineName() string { return l.name + suffixPristine }

// AdoptName is the name in the private directory under which a source that is to be adopted is made.
func (l *Link) AdoptName() string { return l.name + suffixAdopt }

// PreviousName is the previous pristine's name in the private directory.
func (l *Link) PreviousName() string { return l.name + suffixPrevious }

func (l *Link) publishName() string { return l.name + suffixPublish }
func (l *Link) outName() string     { return l.name + suffixOut }
func (l *Link) asideName() string   { return l.name + suffixAside }
func (l *Link) backName() string    { return l.name + suffixBack }
func (l *Link) beforeName() string  { return l.name + suffixBefore }

// text is what our symbolic link at path says.
func (l *Link) text() string { return PrivateDir + "/" + l.name }

// Put is the identity of what relinkd last put at path, zero when not known.
func (l *Link) Put() fsys.ID { return l.put }

// SetPut tells what an earlier relinkd put at path, from the manifest.
func (l *Link) SetPut(id fsys.ID) { l.put = id }

// Backup is the package manager's backup of our link at path, dpkg's NAME.dpkg-tmp, which stood there
// when Publish last put our link at path, and so may come back: dpkg renames it over path when it takes
// an upgrade back. The zero Info when there was none, or it is known to be gone. Nothing else tells of
// that: a link like ours, of the same time, is also what a backup or a copied tree brings.
func (l *Link) Backup() fsys.Info { return l.backup }

// SetBackup tells of the backup that an earlier relinkd saw, from the manifest.
func (l *Link) SetBackup(info fsys.Info) { l.backup = info }

// Unwound reports whether at, which stands at path, is that backup.
func (l *Link) Unwound(at Standing) bool {
	return at.Kind == Ours && l.backup != fsys.Info{} && at.Info.SameContent(l.backup) && at.Info.ID != l.put
}

// backupName is dpkg's, for as long as it unpacks a package.
func (l *Link) backupName() string { return l.name + ".dpkg-tmp" }

// lookBackup finds out what Backup tells.
func (l *Link) lookBackup() error {
	s, err := l.standing(l.dir, l.backupName())
	l.backup = fsys.Info{}
	if err == nil && s.Kind == Ours {
		l.backup = s.Info
	}
	return err
}

// ForgetBackup forgets the backup that is neither under its own name nor at path any more: its upgrade can
// no longer be taken back. It reports whether there was one to forget. Path is looked at last, and anew: a
// rename takes the backup from the one name to the other in between any two looks.
func (l *Link) ForgetBackup() bool {
	if (l.backup == fsys.Info{}) {
		return false
	}
	s, err := l.standing(l.dir, l.backupName())
	if err != nil || s.Info.SameContent(l.backup) {
		return false
	}
	at, err := l.Look()
	if err != nil || at.Info.SameContent(l.backup) {
		return false
	}
	l.backup = fsys.Info{}
	return true
}

// Announce has f called when Put tells of a link that Publish is about to put at path: who writes Put
// down then can tell after a crash whether it is ours that stands there.
func (l *Link) Announce(f func()) { l.announce = f }

// Guard has f called with the private directory before it is used: now, if there is one, and whenever
// MakePrivate has opened it. Its error is Guard's and MakePrivate's, and nothing is done in the directory.
func (l *Link) Guard(f func(private *fsys.Dir) error) error {
	l.guard = f
	if l.private == nil {
		return nil
	}
	return f(l.private)
}

// NoExchange reports whether the file system was seen to lack RENAME_EXCHANGE, so that a file
// renamed to path between a look and our rename would be lost.
func (l *Link) NoExchange() bool { return l.noExchange }

// Current is the number of the copy that the private link leads to; 0 when it leads elsewhere
// (bypassed) or does not exist.
func (l *Link) Current() (int, error) {
	text, err := l.PrivateText()
	return numberIn(l.name, text), err
}

// PrivateText is what the private link says, "" when there is none.
func (l *Link) PrivateText() (string, error) {
	if l.private == nil {
		return "", nil
	}
	text, _, err := l.privateStanding()
	return text, err
}

// Rotate moves the private link to copy number n, in one step.
func (l *Link) Rotate(n int) error { return l.point(LinkText(l.name, n)) }

// Bypass moves the private link to path itself, so that new processes run what is packaged.
func (l *Link) Bypass() error { return l.point(LinkText(l.name, 0)) }

// point: no fsync, since after a crash either target is valid.
func (l *Link) point(text string) error {
	tmp := l.name + suffixRotate
	err := l.private.Symlink("rotate: symlink", text, tmp)
	if fsys.Exist(err) { // left by a crash
		if err := l.private.Unlink("rotate: unlink", tmp); err != nil {
			return err
		}
		err = l.private.Symlink("rotate: symlink", text, tmp)
	}
	if err != nil {
		return err
	}
	if err := l.private.Replace("rotate: rename", tmp, l.private, l.name); err != nil {
		l.private.Unlink("rotate: unlink", tmp)
		return err
	}
	return nil
}

// Tidy removes what a crash in the midst of a rotation or of the making of an adopted source has left.
func (l *Link) Tidy() error {
	return errors.Join(l.unlinkIfThere("rotate: unlink", l.name+suffixRotate), l.unlinkIfThere("adopt: unlink", l.AdoptName()))
}

// unlinkIfThere removes name from the private directory; its absence is no error.
func (l *Link) unlinkIfThere(op fsys.Op, name string) error {
	if l.private == nil {
		return nil
	}
	if err := l.private.Unlink(op, name); err != nil && !fsys.NotExist(err) {
		return err
	}
	return nil
}

// sync makes both directories durable.
func (l *Link) sync(op fsys.Op) error {
	if err := l.private.Sync(op); err != nil {
		return err
	}
	return l.dir.Sync(op)
}

// hasWriter reports whether the regular file name in the private directory is open for writing.
// Where the file system has no leases it cannot be known, and no writer is assumed: the file rested
// before it was taken (watch/install).
func (l *Link) hasWriter(name string) (bool, error) {
	f, err := l.private.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	writer, _, err := fsys.HasWriter(f)
	return writer, err
}
