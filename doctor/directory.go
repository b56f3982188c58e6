package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// answer is what is known of a thing that a file system may be able to do.
type answer int

const (
	unknown answer = iota
	yes
	no
)

// directoryFacts is what stands in an install directory, and what its file system can do.
type directoryFacts struct {
	Path        string
	PrivateLink string
	Publish     string
	Err         string      // why the directory cannot be looked at
	Stands      linker.Kind // at path
	Text        string      // of a link that stands there
	Managed     bool        // copies of ours are in force
	Source      string      // the packaged file; path where none is known
	Problem     string      // why the executable cannot be a source
	Copies      []string    // paths of files of a copy's name

	FS       string // its type's name, "" when it is not known
	Exchange answer
	Tried    bool // Exchange was tried, not concluded from the type
	Reflink  answer
	Leases   answer
	Noexec   bool

	Size   int64 // of the executable
	Free   int64 // bytes that root can still write
	Inodes int64 // that are free; -1 where they are made as they are needed
}

// gatherDirectory looks at the directory of path. Whether files can be exchanged is tried only by root,
// and only where there is a private directory to do it in: no name but of a file there can be exchanged
// without anybody noticing. Reflinks are tried with a file that never has a name, so that nothing is
// left however the trial ends.
func gatherDirectory(path, publish string) directoryFacts {
	d := directoryFacts{Path: path, Publish: publish, Source: path, PrivateLink: linker.PrivateLink(path), Inodes: -1}
	l, err := linker.Open(path, nil)
	if err != nil {
		d.Err = err.Error()
		return d
	}
	defer l.Close()
	v, err := l.View()
	if err != nil {
		d.Err = err.Error()
		return d
	}
	d.Stands, d.Text = v.Path.Kind, v.Path.Text
	d.Managed = v.Private != "" && (v.Path.Kind == linker.Ours || publish == "none")
	if names, err := l.Dir().Names(); err == nil {
		for _, name := range names {
			if pool.CopyNumber(filepath.Base(path), name) > 0 {
				d.Copies = append(d.Copies, l.Dir().Join(name))
			}
		}
	}
	d.statfs(l.Dir())
	d.source(l, v)
	if p := l.Private(); p != nil && os.Geteuid() == 0 {
		if tried, err := tryExchange(p); err == nil {
			d.Exchange, d.Tried = tried, true
		}
	}
	return d
}

// source looks at the packaged executable itself.
func (d *directoryFacts) source(l *linker.Link, v linker.View) {
	dir, name := l.Dir(), filepath.Base(d.Path)
	if v.Path.Kind == linker.Ours && v.Pristine.Kind == linker.File {
		dir, name = l.Private(), l.PristineName()
	}
	if v.Path.Kind != linker.File && v.Path.Kind != linker.Ours {
		return
	}
	d.Source = dir.Join(name)
	f, err := dir.Open(name)
	if err != nil {
		d.Problem = err.Error()
		return
	}
	defer f.Close()
	if info, err := fsys.Fstat(f); err == nil {
		d.Size = info.Size
	}
	switch err := install.Complete(f, filepath.Dir(d.Path)); {
	case errors.Is(err, unix.EACCES): // to ask for writers: not by this user
	case err != nil:
		d.Problem = err.Error()
	default:
		if err := pool.Executable(f); err != nil {
			d.Problem = err.Error()
		}
	}
	if _, known, err := fsys.HasWriter(f); err == nil {
		d.Leases = no
		if known {
			d.Leases = yes
		}
	}
	d.Reflink = tryReflink(filepath.Dir(d.Path), f)
}

// statfs asks for the file system of dir.
func (d *directoryFacts) statfs(dir *fsys.Dir) {
	var st unix.Statfs_t
	if unix.Fstatfs(dir.Fd(), &st) != nil {
		return
	}
	d.FS, d.Exchange = fileSystem(uint32(st.Type))
	d.Noexec = st.Flags&unix.ST_NOEXEC != 0
	d.Free = int64(st.Bavail) * int64(st.Frsize)
	if os.Geteuid() == 0 {
		d.Free = int64(st.Bfree) * int64(st.Frsize)
	}
	if st.Files > 0 {
		d.Inodes = int64(st.Ffree)
	}
}

// fileSystem names a type of file system, and tells whether RENAME_EXCHANGE works on it.
func fileSystem(magic uint32) (name string, exchange answer) {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", yes
	case unix.XFS_SUPER_MAGIC:
		return "xfs", yes
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", yes
	case unix.TMPFS_MAGIC:
		return "tmpfs", yes
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs", yes
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs", yes
	case unix.NFS_SUPER_MAGIC:
		return "NFS", no
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "SMB", no
	}
	return "", unknown
}

// The names of what is exchanged for a trial. They are no names of a target's.
const trialA, trialB = "doctor-trial.1", "doctor-trial.2"

// tryExchange exchanges two files of its own in the private directory, and takes away what a trial that
// was killed has left.
func tryExchange(private *fsys.Dir) (_ answer, err error) {
	for _, name := range []string{trialA, trialB} {
		if err := private.Unlink("doctor: remove", name); err != nil && !fsys.NotExist(err) {
			return unknown, err
		}
		f, err := private.Create("doctor: create", name, 0o600)
		if err != nil {
			return unknown, errors.Join(err, private.Unlink("doctor: remove", trialA))
		}
		f.Close()
	}
	switch err := private.Exchange("doctor: exchange", trialA, private, trialB); {
	case fsys.NoExchange(err):
		return no, removeTrial(private)
	case err != nil:
		return unknown, errors.Join(err, removeTrial(private))
	}
	return yes, removeTrial(private)
}

func removeTrial(private *fsys.Dir) error {
	return errors.Join(private.Unlink("doctor: remove", trialA), private.Unlink("doctor: remove", trialB))
}

// tryReflink shares the content of f with a file in dir that has no name and is gone when it is closed.
func tryReflink(dir string, f *os.File) answer {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return unknown // not by this user, read-only, or a file system that has no such files
	}
	defer unix.Close(fd)
	switch err := unix.IoctlFileClone(fd, int(f.Fd())); err {
	case nil:
		return yes
	case unix.EOPNOTSUPP, unix.ENOTTY, unix.EINVAL, unix.EXDEV, unix.ENOSYS:
		return no
	}
	return unknown
}

func (d directoryFacts) judge(target string) []Finding {
	f := &found{section: Place, target: target}
	if d.Err != "" {
		f.needs(d.Path+": "+d.Err, "relinkd has nothing to manage there", "install the program, or set path to where it is")
		return f.all
	}
	d.judgePath(f)
	if d.Stands == linker.Nothing {
		return f.all
	}
	if d.Noexec && !strings.Contains(d.Problem, "noexec") { // else that was said already
		f.needs(filepath.Dir(d.Path)+" is on a file system that is mounted noexec", "no copy could be executed", "mount it without noexec")
	}
	d.judgeFileSystem(f)
	return f.all
}

func (d directoryFacts) judgePath(f *found) {
	const why = "relinkd manages a packaged executable, and replaces nothing that somebody else made"
	switch {
	case d.Stands == linker.Nothing:
		f.note("nothing is installed at "+d.Path, "relinkd waits, and manages it when it comes", "")
	case d.Stands == linker.PoolLink:
		f.needs(d.Path+" is a link to "+d.Text+", a copy that somebody made by hand", "relinkd touches such a pool by your word alone",
			"relinkd plan, then: relinkd manage "+f.target)
	case d.Stands == linker.OtherLink, d.Stands == linker.Other:
		f.needs(fmt.Sprintf("%s is %s (%s)", d.Path, d.Stands, d.Text), why, "put the packaged file there, or set path to the file that it leads to")
	case d.Problem != "":
		f.needs("the executable cannot be copied: "+d.Problem, "who could replace it could replace all copies; what is not whole starts for nobody", "do what the message says")
	case d.Managed:
		f.fine(fmt.Sprintf("%s is managed (publish = %q)", d.Path, d.Publish), why)
	default:
		f.fine(d.Path+" is a packaged executable, not managed now", why)
	}
}

func (d directoryFacts) judgeFileSystem(f *found) {
	name := d.FS
	if name == "" {
		name = "this file system"
	}
	how := ", by its type"
	if d.Tried {
		how = ", tried"
	}
	const why = "with an exchange path has an executable at every instant, and no file that comes meanwhile is lost"
	switch {
	case d.Publish == "none":
		f.fine("path is never exchanged with publish = \"none\"", why)
	case d.Exchange == yes:
		f.fine("RENAME_EXCHANGE works on "+name+how, why)
	case d.Exchange == no:
		f.note("no RENAME_EXCHANGE on "+name+how, why, "let no two upgrades come at one instant; publish = \"none\" does without")
	default:
		f.note("RENAME_EXCHANGE on "+name+" is not known", why, "after relinkd manage ask again: then it can be tried")
	}
	switch d.Reflink {
	case yes:
		f.fine("reflinks: copies share their blocks with the executable", "an upgrade writes no data")
	case no:
		f.fine("no reflinks on "+name+": each copy takes its own blocks", "see the cost below")
	}
	switch {
	case d.Leases == yes:
		f.fine("leases: an executable that is still being written is told by the kernel", "half a file is never copied")
	case d.Leases == no:
		f.note("no leases on "+name, "whether an executable is still being written is told by its rest alone", "raise settle.quiet if you install by cp over a slow line")
	}
}
