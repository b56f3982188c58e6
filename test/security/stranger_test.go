package security_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/standin"
)

// The ways in which a name can be planted.
const (
	linkToFile   = "a link to a file"
	linkToDir    = "a link to a directory"
	linkToNone   = "a link to a file to be"
	linkToExe    = "a link to an executable"
	hardLinkFile = "a further name of a file"
	hardLinkExe  = "a further name of an executable"
	ownFile      = "a file"
	ownExe       = "an executable"
	aFifo        = "a fifo"
	aDirectory   = "a directory"
	aSocket      = "a socket"
)

// plant puts what of that kind at each path. What leads elsewhere leads to the canary.
func plant(kind, canary string, paths []string) error {
	var failed []error
	for _, path := range paths {
		var err error
		switch kind {
		case linkToFile:
			err = os.Symlink(canary+"/file", path)
		case linkToDir:
			err = os.Symlink(canary+"/dir", path)
		case linkToNone:
			err = os.Symlink(canary+"/new", path)
		case linkToExe:
			err = os.Symlink(canary+"/exe", path)
		case hardLinkFile:
			err = os.Link(canary+"/file", path)
		case hardLinkExe:
			err = os.Link(canary+"/exe", path)
		case ownFile:
			err = os.WriteFile(path, []byte(`{"version":1}`), 0o666)
		case ownExe:
			err = standin.Write(path, "planted")
		case aFifo:
			err = unix.Mkfifo(path, 0o666)
		case aDirectory:
			err = os.Mkdir(path, 0o777)
		case aSocket:
			var ln net.Listener
			if ln, err = net.Listen("unix", path); err == nil {
				ln.(*net.UnixListener).SetUnlinkOnClose(false)
				err = ln.Close()
			}
		default:
			err = fmt.Errorf("no such kind: %s", kind)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// molest tries everything that changes a file on each of the paths, again and again until its input
// ends, and then says how often it tried and, a line each, what it managed to do.
func molest(canary string, paths []string) error {
	own, err := os.MkdirTemp("", "rs-own-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(own)
	over := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	now := time.Now()
	tries := 0
	for round := 0; ; round++ {
		select {
		case <-over:
			fmt.Fprintf(out, "tries %d\n", tries)
			return nil
		default:
		}
		for _, path := range paths {
			mine := filepath.Join(own, "mine")
			if err := os.WriteFile(mine, []byte("mine"), 0o777); err != nil {
				return err
			}
			for what, err := range map[string]error{
				"symlink":    os.Symlink(canary+"/file", path),
				"link":       os.Link(mine, path),
				"rename":     os.Rename(mine, path),
				"take":       os.Rename(path, mine+".taken"),
				"exchange":   unix.Renameat2(unix.AT_FDCWD, mine, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE),
				"remove":     os.Remove(path),
				"write":      touch(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE),
				"truncate":   os.Truncate(path, 0),
				"chmod":      os.Chmod(path, 0o777),
				"chown":      os.Lchown(path, stranger, stranger),
				"times":      os.Chtimes(path, now, now),
				"mkdir":      os.Mkdir(path, 0o777),
				"fifo":       unix.Mkfifo(path, 0o666),
				"attributes": unix.Lsetxattr(path, "user.mine", []byte("x"), 0),
			} {
				tries++
				if err == nil {
					fmt.Fprintf(out, "%s %s\n", what, path)
				}
			}
		}
		if round == 0 {
			fmt.Fprintln(out, "at work")
			out.Flush()
		}
	}
}

func touch(path string, flags int) error {
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return err
	}
	return f.Close()
}
