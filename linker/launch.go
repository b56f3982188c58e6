package linker

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/linker/launcher"
	"relinkd/pool"
)

// contentOnly are the extended attributes that belong to a program's content and would be wrong, or a
// danger, on a launcher: what it may do, which the copy gives at its own exec, and the hash of it.
var contentOnly = []string{"security.capability", "security.ima"}

// makeLauncher makes NAME.publish, our launcher, durably. Whoever executes it must be treated as one who
// executes the source: so it gets the owner, the mode, the time and the attributes of copy n, which are
// the source's. The set-id bits stay away: the exec of the copy that follows gives what they give.
//
// It is written under a name of its own, for in NAME.publish Recover would take half a launcher for
// somebody's file, and closed before that: it could not be executed while it is open for writing.
func (l *Link) makeLauncher(n int) error {
	content, err := launcher.New(l.PrivateLink())
	if err != nil {
		return fmt.Errorf("cannot publish %s by a launcher: %w: use publish = \"symlink\"", l.Path(), err)
	}
	like, err := l.dir.Open(pool.CopyName(l.name, n))
	if err != nil {
		return err
	}
	defer like.Close()
	name := l.name + suffixLauncher
	if err := l.unlinkIfThere("launcher: unlink", name); err != nil { // left by a crash
		return err
	}
	f, err := l.createLauncher(name)
	if err != nil {
		return err
	}
	err = errors.Join(l.writeLauncher(f, name, content, like), f.Close())
	if err == nil {
		err = l.private.Move("launcher: rename", name, l.private, l.publishName())
	}
	if err != nil {
		return errors.Join(err, l.unlinkIfThere("launcher: unlink", name))
	}
	return nil
}

// createLauncher makes an empty file whose inode number is not that of the launcher that was last at path.
// A package manager's rename has removed that one, so that its number may be given to the very next file;
// Cyrus's workers, which look at number, size and time, would not see that theirs is gone.
func (l *Link) createLauncher(name string) (*os.File, error) {
	f, err := l.private.Create("launcher: create", name, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := fsys.Fstat(f)
	if err == nil && info.ID != l.put {
		return f, nil
	}
	defer f.Close() // it has the number for as long
	if err := errors.Join(err, l.private.Unlink("launcher: unlink", name)); err != nil {
		return nil, err
	}
	return l.private.Create("launcher: create", name, 0o600)
}

// writeLauncher fills the new file f and gives it what like has.
func (l *Link) writeLauncher(f *os.File, name string, content []byte, like *os.File) error {
	info, err := fsys.Fstat(like)
	if err != nil {
		return err
	}
	err = l.private.File("launcher: write", f, func(fd int) error {
		n, err := unix.Pwrite(fd, content, 0)
		if err == nil && n < len(content) {
			err = unix.ENOSPC
		}
		return err
	})
	if err == nil {
		err = l.private.File("launcher: chown", f, func(fd int) error { return unix.Fchown(fd, int(info.UID), int(info.GID)) })
	}
	if err == nil {
		err = l.private.File("launcher: chmod", f, func(fd int) error { return unix.Fchmod(fd, launcherMode(info)) })
	}
	if err == nil {
		err = pool.SetXattrs(l.private, "launcher: xattr", f, like, contentOnly...)
	}
	if err == nil {
		err = l.private.File("launcher: mtime", f, func(int) error {
			times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(info.Mtime)}
			return unix.UtimesNanoAt(l.private.Fd(), name, times, unix.AT_SYMLINK_NOFOLLOW)
		})
	}
	if err == nil {
		err = l.private.File("launcher: sync", f, unix.Fsync)
	}
	return err
}

// launcherMode is the permissions of the launcher of a source.
func launcherMode(source fsys.Info) uint32 { return source.Perm() &^ (unix.S_ISUID | unix.S_ISGID) }

// SameAccess reports whether the launcher s is as accessible as the source is, so that nobody has
// changed its mode or owner.
func (s Standing) SameAccess(source fsys.Info) bool {
	return s.Info.Perm() == launcherMode(source) && s.Info.UID == source.UID && s.Info.GID == source.GID
}

// IsLauncher reports whether s is a launcher of ours.
func (s Standing) IsLauncher() bool { return s.Kind == Ours && s.Info.IsRegular() }

// makeAnyLink is makeLink for a path that is gone: rather a symbolic link, which takes no room on a full
// disk, than nothing to execute.
func (l *Link) makeAnyLink(op fsys.Op) (fsys.Info, error) {
	form := l.form
	info, err := l.makeLink(op)
	if err == nil || form == Symlink {
		return info, err
	}
	l.form = Symlink
	info, serr := l.makeLink(op)
	l.form = form
	if serr != nil {
		return info, errors.Join(err, serr)
	}
	return info, nil
}
