package linker

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/linker/launcher"
	"relinkd/pool"
)

// Kind is what sort of thing stands at a name.
type Kind int

// The kinds.
const (
	Nothing   Kind = iota // the name is free
	Ours                  // our symbolic link to the private link, or our launcher of it
	File                  // any other regular file, which is never ours at path
	PoolLink              // a symbolic link to a copy's name that we did not make
	OtherLink             // any other symbolic link or launcher
	Other                 // a directory, a fifo, a device
	Alias                 // a symbolic link that we did not make and that leads to what we keep in the private directory
)

func (k Kind) String() string {
	return [...]string{"nothing", "our link", "a file", "a link to a copy", "a link elsewhere", "no regular file", "a link to relinkd's own"}[k]
}

// Standing is what stands at a name.
type Standing struct {
	Kind   Kind
	Info   fsys.Info // zero for Nothing
	Text   string    // of a symbolic link; what a launcher executes
	Number int       // of the copy that a PoolLink names

	exact bool // the launcher is the one that is made today, byte for byte
}

// View is everything of a target that a crash can leave behind.
type View struct {
	Path     Standing
	Publish  Standing
	Pristine Standing
	Previous Standing
	Out      Standing // what came out of path, on a file system without exchange
	Back     Standing // a further name of what is being given back
	Before   Standing // a further name of what was given back before that
	Aside    Standing // what Withdraw took from path
	Private  string   // the private link's text, "" when there is none

	Stray fsys.Info // what stands in the private link's place and is no symbolic link; zero for none

	left bool // there are names that only an unfinished call makes
}

// placed reports whether relinkd put there what stands at path: our link; the pristine, while a
// restore is under way; or a newer file that was given back. Nobody else gives a file a further name
// in the private directory.
func (v View) placed() bool {
	switch id := v.Path.Info.ID; v.Path.Kind {
	case Nothing:
		return false
	case Ours:
		return true
	default:
		return id == v.Pristine.Info.ID || id == v.Back.Info.ID || id == v.Before.Info.ID
	}
}

// replaced reports whether what came out of path, whose identity is id, was put there by relinkd
// too, before what is there now.
func (v View) replaced(id fsys.ID) bool {
	if v.Path.Kind == Nothing || v.Path.Kind == Ours || id.IsZero() {
		return false
	}
	return id == v.Path.Info.ID || id == v.Pristine.Info.ID || id == v.Before.Info.ID
}

// cameOut reports whether NAME.out is what our rename took from path, rather than a further name of
// what still stands there or of what somebody else has replaced since.
func (v View) cameOut() bool {
	if v.Out.Kind == Nothing || v.Out.Kind == Ours || v.Out.Info.ID == v.Path.Info.ID {
		return false
	}
	return v.Publish.Kind == Nothing && (v.Path.Kind == Nothing || v.placed())
}

// Look describes what stands at path.
func (l *Link) Look() (Standing, error) { return l.standing(l.dir, l.name) }

// View describes path and what is kept in the private directory.
func (l *Link) View() (View, error) {
	var v View
	var err error
	if v.Path, err = l.Look(); err != nil || l.private == nil {
		return v, err
	}
	var rotate, begun Standing
	for name, s := range map[string]*Standing{
		l.publishName():         &v.Publish,
		l.PristineName():        &v.Pristine,
		l.PreviousName():        &v.Previous,
		l.outName():             &v.Out,
		l.backName():            &v.Back,
		l.beforeName():          &v.Before,
		l.asideName():           &v.Aside,
		l.name + suffixRotate:   &rotate,
		l.name + suffixLauncher: &begun,
	} {
		if *s, err = l.standing(l.private, name); err != nil {
			return v, err
		}
	}
	for _, s := range []Standing{v.Out, v.Back, v.Before, v.Aside, rotate, begun} {
		v.left = v.left || s.Kind != Nothing
	}
	v.Private, v.Stray, err = l.privateStanding()
	return v, err
}

// Trusted reports why somebody else could plant things in the private directory, as Open does: that may
// have become so since.
func (l *Link) Trusted() error {
	if l.private == nil {
		return nil
	}
	return trusted(l.private)
}

func (l *Link) standing(dir *fsys.Dir, name string) (Standing, error) {
	info, err := dir.Lstat(name)
	if fsys.NotExist(err) {
		return Standing{Kind: Nothing}, nil
	}
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Info: info}
	switch {
	case info.IsRegular():
		return l.regular(dir, name, info)
	case info.IsSymlink():
		s.Text, err = dir.Readlink(name)
		if fsys.NotExist(err) || isErrno(err, unix.EINVAL) { // replaced since the stat
			return l.standing(dir, name)
		}
		if err != nil {
			return Standing{}, err
		}
		s.Kind, s.Number = l.linkKind(s.Text)
	default:
		s.Kind = Other
	}
	return s, nil
}

// regular tells a launcher, to which somebody may have added something, from any other file.
func (l *Link) regular(dir *fsys.Dir, name string, info fsys.Info) (Standing, error) {
	f, err := dir.Open(name)
	if fsys.NotExist(err) || isErrno(err, unix.ELOOP) { // replaced since the stat
		return l.standing(dir, name)
	}
	if err != nil {
		return Standing{}, err
	}
	defer f.Close()
	now, err := fsys.Fstat(f)
	if err != nil {
		return Standing{}, err
	}
	if now.ID != info.ID {
		return l.standing(dir, name)
	}
	content := make([]byte, launcher.MaxSize)
	n, err := f.ReadAt(content, 0)
	if err != nil && err != io.EOF {
		return Standing{}, &fsys.Error{Op: "read", Path: dir.Join(name), Err: err}
	}
	s := Standing{Kind: File, Info: now}
	if text, is := launcher.Executes(content[:n]); is {
		s.Kind, s.Text = OtherLink, text
		if strings.HasSuffix(text, "/"+l.text()) { // or of a directory that was moved here
			s.Kind = Ours
		}
		want, err := launcher.New(l.PrivateLink())
		s.exact = err == nil && now.Size == int64(n) && bytes.Equal(content[:n], want)
	}
	return s, nil
}

// Fits reports whether s is just what is put at path; what is Ours and does not fit was put there when
// another form was asked for, by another relinkd, or in another directory, or somebody has changed it.
func (l *Link) Fits(s Standing) bool {
	return s.Kind == Ours && (l.form == Symlink && s.Info.IsSymlink() || l.form == Launcher && s.exact)
}

func (l *Link) linkKind(text string) (Kind, int) {
	if text == l.text() {
		return Ours, 0
	}
	return l.follow(l.dir.Fd(), text)
}

// maxLinks is how many symbolic links a path may lead through, the kernel's own limit (MAXSYMLINKS).
const maxLinks = 40

// follow goes along a symbolic link that says text and stands in the directory at, link by link, until
// one of them leads to a name of ours. Directories are told by their identity: a path may lead there
// by another spelling, as through a merged /usr, a bind mount or a link to a directory.
func (l *Link) follow(at int, text string) (Kind, int) {
	if filepath.Clean(text) == l.PrivateLink() { // though the private directory may be gone
		return Alias, 0
	}
	install, err := l.dir.Stat()
	if err != nil {
		return OtherLink, 0
	}
	for range maxLinks {
		text = strings.TrimRight(text, "/")
		slash := strings.LastIndexByte(text, '/')
		parent, base := text[:slash+1], text[slash+1:]
		if parent == "" {
			parent = "."
		}
		fd, err := unix.Openat(at, parent, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return OtherLink, 0
		}
		where := os.NewFile(uintptr(fd), parent)
		defer where.Close()
		switch id, err := fsys.Fstat(where); {
		case err != nil:
			return OtherLink, 0
		case l.isPrivate(id.ID):
			if base == l.name || strings.HasPrefix(base, l.name+".") {
				return Alias, 0
			}
			return OtherLink, 0 // another target's
		case id.ID == install.ID:
			if n := pool.CopyNumber(l.name, base); n > 0 {
				return PoolLink, n
			}
		}
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, base, buf)
		if err != nil { // no link, or nothing
			return OtherLink, 0
		}
		at, text = fd, string(buf[:n])
	}
	return OtherLink, 0
}

// isPrivate reports whether id is that of the private directory.
func (l *Link) isPrivate(id fsys.ID) bool {
	if l.private == nil {
		return false
	}
	info, err := l.private.Stat()
	return err == nil && info.ID == id
}

func isErrno(err error, errno unix.Errno) bool { return errors.Is(err, errno) }
