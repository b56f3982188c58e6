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
	_, problem, err = p.compare(ctx, src, n, true)
	return problem, err
}

// compare is Verify, with what the file was; the content is looked at only when asked for.
func (p *Pool) compare(ctx context.Context, src *Source, n int, content bool) (info fsys.Info, problem string, err error) {
	f, err := p.dir.Open(p.copyName(n))
	switch {
	case fsys.NotExist(err):
		return fsys.Info{}, "missing", nil
	case errors.Is(err, unix.ELOOP):
		return fsys.Info{}, "is a symbolic link", nil
	case err != nil:
		return fsys.Info{}, "", err
	}
	defer f.Close()
	info, problem, err = src.differs(ctx, f, content)
	if problem != "" || err != nil {
		return info, problem, err
	}
	now, err := fsys.Fstat(f)
	if err != nil {
		return info, "", err
	}
	if !now.SameContent(info) {
		return now, "was written to while it was read", nil
	}
	return now, "", nil
}

// differs says in what f differs from s; "" when in nothing. The content is compared by its hash
// or, without content, by its size alone.
func (s *Source) differs(ctx context.Context, f *os.File, content bool) (info fsys.Info, problem string, err error) {
	info, err = fsys.Fstat(f)
	if err != nil {
		return info, "", err
	}
	switch {
	case !info.IsRegular():
		return info, "is not a regular file", nil
	case info.ID == s.info.ID:
		return info, "is " + s.base() + " itself by another name", nil
	case info.Size != s.info.Size:
		return info, fmt.Sprintf("has %d bytes, should have %d", info.Size, s.info.Size), nil
	}
	if content {
		sum, _, err := hash(ctx, f)
		if err != nil {
			return info, "", err
		}
		if sum != s.sha256 {
			return info, otherContent + s.base(), nil
		}
	}
	switch {
	case info.Perm() != s.info.Perm():
		return info, fmt.Sprintf("mode is %04o, should be %04o", info.Perm(), s.info.Perm()), nil
	case info.UID != s.info.UID || info.GID != s.info.GID:
		return info, fmt.Sprintf("owner is %d:%d, should be %d:%d", info.UID, info.GID, s.info.UID, s.info.GID), nil
	case info.Mtime != s.info.Mtime:
		const nanoseconds = "2006-01-02 15:04:05.999999999 MST"
		return info, fmt.Sprintf("modification time is %s, should be %s",
			info.ModTime().UTC().Format(nanoseconds), s.info.ModTime().UTC().Format(nanoseconds)), nil
	}
	attributes, err := readXattrs(f)
	if err != nil {
		return info, "", err
	}
	return info, attributes.differs(s.base(), s.xattrs), nil
}
