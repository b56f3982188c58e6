package linker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/pool"
)

// SetJudge says how to tell a complete executable, which a source must be: complete returns why the open
// file is none. Without it nothing counts as complete, and so nothing is removed.
func (l *Link) SetJudge(complete func(*os.File) error) { l.complete = complete }

// KeptError says that what relinkd keeps of the program was not removed, since it may be the last of it.
type KeptError struct {
	Path string
	What string   // what stands at path, and why that is no complete executable of somebody's
	Kept []string // where the program is kept, the newest first
}

func (e *KeptError) Error() string {
	return fmt.Sprintf("%s %s; the program is kept as %s; try: move away what stands at path, then again", e.Path, e.What, e.Kept[0])
}

// MayRemove is the one decision on which the removal of the pristine, the previous one, earlier
// generations, the copies, the private link and the private directory rests (DESIGN.md §3, 10). Nil when
// the program survives it:
//
//  1. a complete executable stands at path itself, a file that is neither ours nor leads to what is ours; or
//  2. nothing that may be the program is kept, so that nothing can be lost; or
//  3. removed, which is a package manager's word that it has removed the program, is not "", and nothing
//     but our link stands at path: had relinkd not been there, the program would be gone.
//
// Else a *KeptError; in doubt, too. Ask just before removing: it looks, and remembers nothing.
func (l *Link) MayRemove(removed string) error {
	what, ours, err := l.lacks()
	if err != nil || what == "" { // 1.
		return err
	}
	kept, err := l.kept()
	if err != nil || len(kept) == 0 { // 2.
		return err
	}
	if ours && removed != "" { // 3.
		return nil
	}
	return &KeptError{Path: l.Path(), What: what, Kept: kept}
}

// MayRemoveCopy is MayRemove for one copy of many, while the target is managed on: a pristine is kept or,
// where there is to be none, a complete executable stands at path.
func (l *Link) MayRemoveCopy() error {
	if l.private != nil {
		if is, err := l.mayBeProgram(l.private, l.PristineName()); err != nil || is {
			return err
		}
	}
	return l.MayRemove("")
}

// lookAgain is how often a path is looked at that is replaced while it is.
const lookAgain = 100

// lacks tells why what stands at path is no complete executable of somebody's, "" if it is one. ours
// reports that nothing stands there, or but a link to what is ours.
func (l *Link) lacks() (what string, ours bool, err error) {
	for range lookAgain {
		what, ours, err = l.lacksNow()
		if !errors.Is(err, ErrSuperseded) {
			return what, ours, err
		}
	}
	return "is replaced again and again", false, nil
}

// lacksNow is lacks, ErrSuperseded when path was replaced meanwhile.
func (l *Link) lacksNow() (what string, ours bool, err error) {
	at, err := l.Look()
	if err != nil {
		return "", false, err
	}
	switch at.Kind {
	case Nothing:
		return "is gone", true, nil
	case Ours:
		return "is relinkd's own link", true, nil
	case Alias, PoolLink:
		return fmt.Sprintf("is a link to %s, which is relinkd's", at.Text), true, nil
	case OtherLink:
		if at.Info.IsRegular() {
			return "is a launcher of " + at.Text, false, nil
		}
		return "is a symbolic link to " + at.Text, false, nil
	case Other:
		return "is not a regular file", false, nil
	}
	f, err := l.dir.Open(l.name)
	if fsys.NotExist(err) || isErrno(err, unix.ELOOP) {
		err = errors.Join(ErrSuperseded, err)
	}
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	if now, err := fsys.Fstat(f); err != nil || now.ID != at.Info.ID {
		return "", false, errors.Join(ErrSuperseded, err)
	}
	if l.complete == nil {
		return "is a file of which it cannot be told whether it is complete", false, nil
	}
	if err := l.complete(f); err != nil {
		return fmt.Sprintf("holds no complete program (%v)", err), false, nil
	}
	return l.wraps(f, at.Info)
}

// wraps tells of a complete executable at path that is a wrapper of ours, or may be one: another name in the
// install directory leads to the copies, as after a dpkg-divert or a mv of our link, and the file is none that
// relinkd keeps.
func (l *Link) wraps(f *os.File, info fsys.Info) (what string, ours bool, err error) {
	if what, err = l.executesOurs(f); err != nil || what != "" {
		return what, false, err
	}
	links, err := l.linksToOurs()
	if err != nil || len(links) == 0 {
		return "", false, err
	}
	same, err := l.isKept(f, info)
	if err != nil || same {
		return "", false, err
	}
	return fmt.Sprintf("may be a wrapper of %s, which leads to relinkd's copies (if it is not, remove that link)", l.dir.Join(links[0])), false, nil
}

// Wrapper tells why f, a complete executable that stands at path, is no source: it executes what leads to the
// copies, by the private link or by the name that our link was moved to, and copies of it would execute each
// other forever. "" when nothing says so.
func (l *Link) Wrapper(f *os.File) (why string, err error) {
	what, err := l.executesOurs(f)
	if err != nil || what == "" {
		return "", err
	}
	return l.Path() + " " + what, nil
}

// executesOurs is Wrapper without path's name.
func (l *Link) executesOurs(f *os.File) (what string, err error) {
	links, err := l.linksToOurs()
	if err != nil {
		return "", err
	}
	texts := map[string]string{PrivateDir + "/" + l.name: l.PrivateLink()} // what it may say, and what it would mean
	for _, name := range links {
		if name == l.backupName() {
			continue // dpkg's, for as long as it unpacks the file at path
		}
		texts[name] = l.dir.Join(name)
		// One that says no more than ".real", after its own name.
		if suffix, is := strings.CutPrefix(name, l.name); is && len(suffix) > len(".bak") {
			texts[suffix] = l.dir.Join(name)
		}
	}
	for text, name := range texts {
		is, err := contains(f, text+"\x00")
		if err != nil {
			return "", err
		}
		if is {
			return fmt.Sprintf("says %q, and %s leads to relinkd's copies: it is a wrapper of them", text, name), nil
		}
	}
	return "", nil
}

// contains reports whether text is somewhere in f.
func contains(f *os.File, text string) (bool, error) {
	const step = 256 << 10
	buf := make([]byte, step+len(text))
	for at := int64(0); ; at += step {
		n, err := f.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return false, err
		}
		if bytes.Contains(buf[:n], []byte(text)) {
			return true, nil
		}
		if n < len(buf) {
			return false, nil
		}
	}
}

// linksToOurs is the names in the install directory, but path, that lead to the private link or to a copy.
func (l *Link) linksToOurs() (links []string, err error) {
	names, err := l.dir.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == l.name {
			continue
		}
		info, err := l.dir.Lstat(name)
		if fsys.NotExist(err) || err == nil && !info.IsSymlink() && !(info.IsRegular() && info.Size < launcherPage) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := l.standing(l.dir, name)
		if err != nil {
			return nil, err
		}
		if s.Kind == Ours || s.Kind == Alias || s.Kind == PoolLink {
			links = append(links, name)
		}
	}
	return links, nil
}

// launcherPage is more than a launcher has, also with something added: only such files are read for one.
const launcherPage = 64 << 10

// isKept reports whether f is what Restore has put back or left at path, or has the content of the pristine or,
// where there is none, of the linked copy.
func (l *Link) isKept(f *os.File, info fsys.Info) (bool, error) {
	if info.SameContent(l.restored) {
		return true, nil
	}
	if l.private == nil {
		return false, nil
	}
	open := func() (*os.File, error) { return l.private.Open(l.PristineName()) }
	pristine, err := l.standing(l.private, l.PristineName())
	if err != nil {
		return false, err
	}
	if pristine.Kind != File {
		n, err := l.Current()
		if err != nil || n == 0 {
			return false, err
		}
		open = func() (*os.File, error) { return l.dir.Open(pool.CopyName(l.name, n)) }
	} else if pristine.Info.ID == info.ID {
		return true, nil
	}
	g, err := open()
	if err != nil {
		return false, err
	}
	defer g.Close()
	return sameBytes(f, g)
}

// sameBytes compares two files from their beginnings.
func sameBytes(f, g *os.File) (bool, error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := f.ReadAt(a, at)
		if err != nil && err != io.EOF {
			return false, err
		}
		m, err := g.ReadAt(b, at)
		if err != nil && err != io.EOF {
			return false, err
		}
		if n != m || !slices.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if n < len(a) {
			return true, nil
		}
		at += int64(n)
	}
}

// kept is where something is kept that may be the program, the newest first. Whatever is a file, has
// content and is no launcher counts: somebody may have taken its mode away.
func (l *Link) kept() (paths []string, err error) {
	if l.private != nil {
		names := []string{l.publishName(), l.outName(), l.asideName(), l.backName(), l.beforeName(), l.PristineName(), l.PreviousName()}
		generations, err := l.Generations()
		if err != nil {
			return nil, err
		}
		for _, g := range generations {
			names = append(names, g.Name)
		}
		for _, name := range names {
			if is, err := l.mayBeProgram(l.private, name); err != nil {
				return nil, err
			} else if is {
				paths = append(paths, l.private.Join(name))
			}
		}
	}
	names, err := l.dir.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if pool.CopyNumber(l.name, name) == 0 {
			continue
		}
		if is, err := l.mayBeProgram(l.dir, name); err != nil {
			return nil, err
		} else if is {
			return append(paths, l.dir.Join(name)), nil // they are alike
		}
	}
	return paths, nil
}

func (l *Link) mayBeProgram(dir *fsys.Dir, name string) (bool, error) {
	s, err := l.standing(dir, name)
	return s.Kind == File && s.Info.Size > 0, err
}

// discard removes what an interrupted call has left as name in the private directory. Should that be a
// file which may be the last of the program, it becomes the pristine instead: it is newer than that one,
// for it came out of path later.
func (l *Link) discard(op fsys.Op, name string) error {
	if l.private == nil {
		return nil
	}
	is, err := l.mayBeProgram(l.private, name)
	if err != nil {
		return err
	}
	if is && name != l.publishName() {
		for _, other := range []string{l.publishName(), l.outName(), l.backName(), l.beforeName()} {
			if same, err := l.sameFile(name, other); err == nil && same && other != name {
				is = false // it has another name, about which is decided in its turn
			}
		}
	}
	if is {
		if is, err = l.isLast(name); err != nil {
			return err
		}
	}
	if !is {
		return l.unlinkIfThere(op, name)
	}
	f, err := l.private.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if l.complete == nil || l.complete(f) != nil {
		_, err := l.setAside(name)
		return err
	}
	return l.makePristine(name)
}

// isLast reports whether name in the private directory may be the last name of the last of the program:
// it is neither the pristine nor what stands at path, and nothing complete stands at path.
func (l *Link) isLast(name string) (bool, error) {
	same, err := l.sameFile(name, l.PristineName())
	if err != nil || same {
		return false, err
	}
	info, err := l.private.Lstat(name)
	if err != nil {
		return false, err
	}
	at, err := l.dir.Lstat(l.name)
	if err != nil && !fsys.NotExist(err) || err == nil && at.ID == info.ID {
		return false, err
	}
	what, _, err := l.lacks()
	return what != "", err
}

// makePristine makes name in the private directory, which is newer than it, the pristine, and keeps that
// as the previous one, and the previous one as an earlier generation. It does not make that durable.
func (l *Link) makePristine(name string) error {
	_, err := l.private.Lstat(l.PristineName())
	if fsys.NotExist(err) { // a crash came in between: the previous one is what the pristine was a moment ago
		return l.private.Move("publish: keep pristine", name, l.private, l.PristineName())
	}
	if err == nil {
		err = l.KeepPrevious()
	}
	if err != nil {
		return err
	}
	err = l.private.Replace("publish: keep previous", l.PristineName(), l.private, l.PreviousName())
	if err != nil && !fsys.NotExist(err) {
		return err
	}
	return l.private.Move("publish: keep pristine", name, l.private, l.PristineName())
}

// KeepPrevious makes the previous pristine, if there is one, an earlier generation: the upgrade can no
// longer be taken back.
func (l *Link) KeepPrevious() error {
	if l.private == nil {
		return nil
	}
	same, err := l.sameFile(l.PreviousName(), l.PristineName())
	if fsys.NotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if same { // two names of one file, by somebody's hand
		return l.unlinkIfThere("keep: unlink", l.PreviousName())
	}
	s, err := l.standing(l.private, l.PreviousName())
	if err != nil {
		return err
	}
	if s.Kind != File || s.Info.Size == 0 {
		return l.unlinkIfThere("keep: unlink", l.PreviousName())
	}
	f, err := l.private.Open(l.PreviousName())
	if err != nil {
		return err
	}
	src, err := pool.ReadSource(context.Background(), f)
	if err != nil {
		f.Close()
		return err
	}
	defer src.Close()
	name := l.GenerationName(src.SHA256())
	if same, err := l.sameFile(l.PreviousName(), name); err != nil {
		return err
	} else if same { // rename(2) does nothing where both are one file
		return l.unlinkIfThere("keep: unlink", l.PreviousName())
	}
	return l.private.Replace("keep: generation", l.PreviousName(), l.private, name)
}

// Prune removes the earlier generations but the newest keep, while the program itself is there.
func (l *Link) Prune(keep int) (dropped []Generation, err error) {
	all, err := l.Generations()
	if err != nil || len(all) <= keep {
		return nil, err
	}
	if is, err := l.mayBeProgram(l.private, l.PristineName()); err != nil {
		return nil, err
	} else if !is {
		if what, _, err := l.lacks(); err != nil || what != "" {
			return nil, err
		}
	}
	for _, g := range all[keep:] {
		if err := l.private.Unlink("keep: drop", g.Name); err != nil && !fsys.NotExist(err) {
			return dropped, err
		}
		dropped = append(dropped, g)
	}
	return dropped, nil
}

// Generation is the pristine of an earlier generation, kept to go back to.
type Generation struct {
	SHA256 string
	Name   string // in the private directory
	Info   fsys.Info
}

// suffixGeneration comes before the hash.
const suffixGeneration = ".generation-"

// GenerationName is the name in the private directory of the earlier generation of that hash.
func (l *Link) GenerationName(sha256 string) string { return l.name + suffixGeneration + sha256 }

// Generations is the earlier generations that are kept, the one that was last in force first.
func (l *Link) Generations() ([]Generation, error) {
	if l.private == nil {
		return nil, nil
	}
	names, err := l.private.Names()
	if err != nil {
		return nil, err
	}
	var all []Generation
	for _, name := range names {
		sum, is := strings.CutPrefix(name, l.name+suffixGeneration)
		if !is || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
			continue
		}
		info, err := l.private.Lstat(name)
		if fsys.NotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.IsRegular() {
			all = append(all, Generation{SHA256: sum, Name: name, Info: info})
		}
	}
	// A rename or a further name sets the ctime: that of when it was last in force.
	slices.SortStableFunc(all, func(a, b Generation) int { return int(max(-1, min(1, b.Info.Ctime-a.Info.Ctime))) })
	return all, nil
}
