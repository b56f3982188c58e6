package pool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// ErrChanged is found by errors.Is in the error of whoever met a source that had been changed
// since it was read. Read it again.
var ErrChanged = errors.New("the file was changed meanwhile")

// readBuffer is how much of a file is read at once, in bytes.
const readBuffer = 256 << 10

// Source is an executable that copies are made from: an open descriptor, and what the file was
// when it was read. A Source does not change and may be used by several goroutines; who changes
// the file's mode, owner or attributes makes a new one with Known.
//
// Each user closes it: the first, and whoever has got it from Share.
type Source struct {
	f      *os.File
	info   fsys.Info
	sha256 string
	xattrs xattrs
	others atomic.Int32 // users beside one
}

// ReadSource reads the regular file f and takes it over, on success only. An error with ErrChanged
// means that somebody wrote to the file meanwhile.
func ReadSource(ctx context.Context, f *os.File) (*Source, error) {
	s, err := describe(f)
	if err != nil {
		return nil, err
	}
	sum, size, err := hash(ctx, f)
	if err != nil {
		return nil, err
	}
	if size != s.info.Size {
		return nil, s.changed()
	}
	if err := s.unchanged(); err != nil {
		return nil, err
	}
	s.sha256 = sum
	return s, nil
}

// Known is ReadSource for a file whose hash is known from the manifest, where the manifest's Info
// of it still holds: the content is not read. It takes f over, on success only.
func Known(f *os.File, sha256 string) (*Source, error) {
	s, err := describe(f)
	if err != nil {
		return nil, err
	}
	s.sha256 = sha256
	return s, nil
}

// describe is a Source without its hash.
func describe(f *os.File) (*Source, error) {
	info, err := fsys.Fstat(f)
	if err != nil {
		return nil, err
	}
	if !info.IsRegular() {
		return nil, fmt.Errorf("cannot make copies of %s: it is not a regular file", f.Name())
	}
	attributes, err := readXattrs(f)
	if err != nil {
		return nil, err
	}
	return &Source{f: f, info: info, xattrs: attributes}, nil
}

// Info is what the file was when it was read.
func (s *Source) Info() fsys.Info { return s.info }

// SHA256 is the hash of the content, in lower-case hexadecimal digits. It names the generation.
func (s *Source) SHA256() string { return s.sha256 }

// File is the open file. It stays the Source's own.
func (s *Source) File() *os.File { return s.f }

// Share returns the source for a further user.
func (s *Source) Share() *Source {
	s.others.Add(1)
	return s
}

// Close ends the use of the source. The last one releases the descriptor.
func (s *Source) Close() error {
	if s.others.Add(-1) >= 0 {
		return nil
	}
	return s.f.Close()
}

// base is the file's name, for messages.
func (s *Source) base() string { return filepath.Base(s.f.Name()) }

// unchanged returns an error with ErrChanged unless the file is what it was when it was read. A
// rename or a further hard link, which package managers make, is no change.
func (s *Source) unchanged() error {
	now, err := fsys.Fstat(s.f)
	if err != nil {
		return err
	}
	if now == s.info {
		return nil
	}
	attributes, err := readXattrs(s.f)
	if err != nil {
		return err
	}
	if !now.SameContent(s.info) || now.Mode != s.info.Mode || now.UID != s.info.UID || now.GID != s.info.GID ||
		!attributes.equal(s.xattrs) {
		return s.changed()
	}
	return nil
}

func (s *Source) changed() error {
	return fmt.Errorf("cannot make copies of %s: %w", s.f.Name(), ErrChanged)
}

// Intact reports whether the file still has the content that it had when it was read, whatever its
// times say.
func (s *Source) Intact(ctx context.Context) (bool, error) {
	sum, _, err := hash(ctx, s.f)
	return sum == s.sha256, err
}

// SameContent reports whether the regular files f and g have the same content.
func SameContent(ctx context.Context, f, g *os.File) (bool, error) {
	a, _, err := hash(ctx, f)
	if err != nil {
		return false, err
	}
	b, _, err := hash(ctx, g)
	return a == b, err
}

// hash is the SHA-256 of f's content from its beginning, and how many bytes that are. It leaves
// f's position alone.
func hash(ctx context.Context, f *os.File) (sum string, size int64, err error) {
	h := sha256.New()
	buf := make([]byte, readBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		n, err := unix.Pread(int(f.Fd()), buf, size)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return "", 0, &fsys.Error{Op: "read", Path: f.Name(), Err: err}
		case n == 0:
			return hex.EncodeToString(h.Sum(nil)), size, nil
		}
		h.Write(buf[:n])
		size += int64(n)
	}
}
