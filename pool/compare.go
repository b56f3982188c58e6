package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// otherContent begins the problem of a copy that looks like its source and is not.
const otherContent = "content differs from "

// IsContent reports whether a problem that Verify has found is one of the content, of which nothing
// else tells.
func IsContent(problem string) bool { return strings.HasPrefix(problem, otherContent) }

// Verify says in a few words in what copy n differs from src: in bytes, size, mode, owner,
// modification time or extended attributes; "" when in none. An err means that it could not be
// found out. Verify looks at whatever file has the copy's name, owned or not, and changes nothing.
func (p *Pool) Verify(ctx context.Context, src *Source, n int) (problem string, err error) {
	_, d, err := p.compare(ctx, src, n, true)
	return d.text, err
}

// difference is in what a file differs from its source, and that in words; the zero difference is in nothing.
type difference struct {
	text  string
	time  bool // in its modification time alone: whoever made it has copied all else
	links bool // in nothing but that it has further names
}

// compare is Verify, with what the file was; the content is looked at only when asked for.
func (p *Pool) compare(ctx context.Context, src *Source, n int, content bool) (info fsys.Info, d difference, err error) {
	f, err := p.dir.Open(p.copyName(n))
	switch {
	case fsys.NotExist(err):
		return fsys.Info{}, difference{text: "missing"}, nil
	case errors.Is(err, unix.ELOOP):
		return fsys.Info{}, difference{text: "is a symbolic link"}, nil
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE): // no fault of the file
		return fsys.Info{}, d, err
	case err != nil: // a socket, a disk that fails: it costs this copy alone
		return fsys.Info{}, difference{text: fmt.Sprintf("cannot be read: %v", errnoIn(err))}, nil
	}
	defer f.Close()
	info, d, err = src.differs(ctx, f, content)
	if err != nil && ctx.Err() == nil {
		return info, difference{text: fmt.Sprintf("cannot be read: %v", errnoIn(err))}, nil
	}
	if d.text != "" || err != nil {
		return info, d, err
	}
	now, err := fsys.Fstat(f)
	if err != nil {
		return info, d, err
	}
	if !now.SameContent(info) {
		return now, difference{text: "was written to while it was read"}, nil
	}
	return now, d, nil
}

// errnoIn is what the kernel said, where an error is of a call.
func errnoIn(err error) error {
	if failed := (*fsys.Error)(nil); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// differs says in what f differs from s; "" when in nothing. The content is compared by its hash
// or, without content, by its size alone.
func (s *Source) differs(ctx context.Context, f *os.File, content bool) (info fsys.Info, d difference, err error) {
	info, err = fsys.Fstat(f)
	if err != nil {
		return info, d, err
	}
	in := func(format string, args ...any) (fsys.Info, difference, error) {
		return info, difference{text: fmt.Sprintf(format, args...)}, nil
	}
	switch {
	case !info.IsRegular():
		return in("is not a regular file")
	case info.ID == s.info.ID:
		return in("is %s itself by another name", s.base())
	case info.Size != s.info.Size:
		return in("has %d bytes, should have %d", info.Size, s.info.Size)
	}
	if content {
		sum, _, err := hash(ctx, f)
		if err != nil {
			return info, d, err
		}
		if sum != s.sha256 {
			return in("%s%s", otherContent, s.base())
		}
	}
	switch {
	case info.Perm() != s.info.Perm():
		return in("mode is %04o, should be %04o", info.Perm(), s.info.Perm())
	case info.UID != s.info.UID || info.GID != s.info.GID:
		return in("owner is %d:%d, should be %d:%d", info.UID, info.GID, s.info.UID, s.info.GID)
	}
	attributes, err := readXattrs(f)
	if err != nil {
		return info, d, err
	}
	if problem := attributes.differs(s.base(), s.xattrs); problem != "" {
		return in("%s", problem)
	}
	if info.Mtime != s.info.Mtime {
		const nanoseconds = "2006-01-02 15:04:05.999999999 MST"
		return info, difference{time: true, text: fmt.Sprintf("modification time is %s, should be %s",
			info.ModTime().UTC().Format(nanoseconds), s.info.ModTime().UTC().Format(nanoseconds))}, nil
	}
	if info.Nlink > 1 { // what is done to it by another name would be done to the copy
		return info, difference{links: true, text: fmt.Sprintf("has %d names (hard links), should have 1", info.Nlink)}, nil
	}
	return info, d, nil
}
