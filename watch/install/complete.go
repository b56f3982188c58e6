package install

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/linker/launcher"
)

// Kinds of errors of Complete and Arrival. Those of kind ErrIncomplete may pass with time alone.
var (
	ErrIncomplete = errors.New("not complete yet")
	ErrWriting    = fmt.Errorf("%w: a program has it open for writing", ErrIncomplete)
	ErrTruncated  = fmt.Errorf("%w: it is cut short", ErrIncomplete)
)

func isIncomplete(err error) bool { return errors.Is(err, ErrIncomplete) }

// Complete reports why f, open for reading only, cannot be a source in the directory dir, or nil.
// A source is a regular executable ELF file of this machine whose parts all fit in its size, which
// nobody has open for writing, and which only root or the user who runs relinkd can change or
// replace. Where leases are not to be had, writers go unnoticed.
func Complete(f *os.File, dir string) error {
	file, err := fsys.Fstat(f)
	if err != nil {
		return err
	}
	_, err = complete(f, file, dir)
	return err
}

// complete is Complete of a file that was described already; leased is false when there was no
// way to ask for writers.
func complete(f *os.File, file fsys.Info, dir string) (leased bool, err error) {
	if !file.IsRegular() {
		return false, fmt.Errorf("%s is %s, not a regular file; install the executable there", f.Name(), kind(file))
	}
	if err := CheckAttributes(f.Name(), file); err != nil {
		return false, err
	}
	if err := fsys.CheckDir(dir); err != nil {
		return false, err
	}
	leased, err = lease(f)
	if err != nil {
		return leased, err
	}
	host, err := native()
	if err != nil {
		return leased, err
	}
	if err := checkELF(f, file.Size, host); err != nil {
		return leased, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return leased, checkLauncher(f, file.Size)
}

// checkLauncher refuses a launcher of relinkd's, wherever it leads and whatever was added to it: copies of it
// would execute each other.
func checkLauncher(f *os.File, size int64) error {
	content := make([]byte, min(size, launcher.MaxSize))
	if _, err := f.ReadAt(content, 0); err == io.EOF {
		return fmt.Errorf("%s: %w: it became shorter", f.Name(), ErrTruncated)
	} else if err != nil {
		return fmt.Errorf("%s cannot be read: %w", f.Name(), err)
	}
	if path, is := launcher.Executes(content); is {
		return fmt.Errorf("%s is relinkd's launcher of %s, not a program; install the executable itself", f.Name(), path)
	}
	return nil
}

// CheckAttributes reports why the owner and the mode of the file name, as file has them, are not those
// of a source, or nil.
func CheckAttributes(name string, file fsys.Info) error {
	switch {
	case !file.Ours() && file.Mode&(unix.S_ISUID|unix.S_ISGID) != 0: // chown would take that away, or give it root's rights
		return fmt.Errorf("%s belongs to uid %d and is set-id (mode %04o), so that who executes it becomes them; relinkd manages what belongs to uid %d only: leave its target out of the configuration",
			name, file.UID, file.Perm(), os.Geteuid())
	case !file.Ours():
		return fmt.Errorf("%s belongs to uid %d; try: chown %d %s", name, file.UID, os.Geteuid(), name)
	case file.Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others than its owner (mode %04o); try: chmod go-w %s", name, file.Perm(), name)
	case file.Perm()&0o111 == 0:
		return fmt.Errorf("%s is not executable (mode %04o); try: chmod 755 %s", name, file.Perm(), name)
	}
	return nil
}

// kind names the type of a file that is not regular.
func kind(file fsys.Info) string {
	switch file.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a fifo"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}
