package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// readFile returns the bytes of the configuration file. Who can write that file, or put another in its
// place, decides what a root daemon does: it and every directory on the way to it must belong to root
// or to the user running relinkd, and nobody else may write to them. A symbolic link to it is fine, if
// the same is true of where that leads.
func readFile(name string) ([]byte, *Problem) {
	refuse := func(found, allowed string) ([]byte, *Problem) {
		return nil, &Problem{File: name, Found: found, Allowed: allowed}
	}
	// O_NONBLOCK, because opening a fifo would wait for a writer.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("no such file", "a configuration file: put relinkd's example relinkd.toml there, or name another file with --config")
	case errors.Is(err, fs.ErrPermission):
		return refuse("a file that relinkd may not read", fmt.Sprintf("a file that user %d may read: run relinkd as root", os.Geteuid()))
	case err != nil:
		return refuse(fmt.Sprintf("that it cannot be opened (%v)", reason(err)), "a readable file")
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return refuse(fmt.Sprintf("that it cannot be looked at (%v)", err), "a readable file")
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return refuse("something that is no regular file", "a regular file")
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return refuse(fmt.Sprintf("a file of user %d", st.Uid), "a file of root or of the user running relinkd: chown root "+name)
	case st.Mode&0o022 != 0:
		return refuse(fmt.Sprintf("a file that others than its owner may write (mode %04o)", st.Mode&0o7777), "a file that only its owner may write: chmod go-w "+name)
	}
	path, err := filepath.Abs(name)
	if err == nil {
		err = fsys.CheckFile(path)
	}
	if err != nil {
		if owner := new(fsys.OwnerError); errors.As(err, &owner) {
			return refuse("that "+owner.What, "directories that only root or the user running relinkd may write to: "+owner.Try)
		}
		return refuse(fmt.Sprintf("that it cannot be told who may replace it (%v)", err), "a file that stays where it is")
	}
	data, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err != nil {
		return refuse(fmt.Sprintf("that it cannot be read (%v)", reason(err)), "a readable file")
	}
	return data, nil
}

// reason is what err says without the path, which a Problem names itself.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// The limits of a configuration file. They are far beyond what makes sense, and near enough for an answer
// within a second.
const (
	largestFile = 256 << 10 // bytes
	deepestKey  = 16        // parts, those of the tables around it included
	mostTargets = 100
)

// parse decodes the bytes of a TOML document.
func parse(name string, data []byte) (map[string]any, *Problem) {
	if len(data) > largestFile {
		return nil, &Problem{File: name, Found: fmt.Sprintf("a file of more than %d bytes", largestFile), Allowed: fmt.Sprintf("at most %d bytes", largestFile)}
	}
	if line, parts := tooDeep(data, deepestKey); parts > 0 {
		return nil, &Problem{File: name, Line: line, Found: fmt.Sprintf("a key of more than %d parts, with those of its tables", deepestKey), Allowed: fmt.Sprintf("at most %d parts", deepestKey)}
	}
	var tree map[string]any
	err := toml.Unmarshal(data, &tree)
	if err == nil {
		return tree, nil
	}
	p := &Problem{
		File:    name,
		Found:   "invalid TOML (" + strings.TrimPrefix(err.Error(), "toml: ") + ")",
		Allowed: "TOML, as in relinkd's example relinkd.toml",
	}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		p.Line, _ = de.Position()
	}
	return nil, p
}
