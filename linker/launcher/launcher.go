// Package launcher makes the tiny program that stands at path with publish = "launcher": it executes
// the private link and does nothing else. It must never use a library, memory of its own or any
// descriptor, and never be taken for a source of copies, which would execute each other forever.
package launcher

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"relinkd/internal/image"
)

// MaxSize is the most bytes that a launcher has: it is below 1 KiB.
const MaxSize = 1023

// ExitCode is what a launcher exits with when the private link cannot be executed: EX_TEMPFAIL, which
// Cyrus does not count as a failure of the service (master.c).
const ExitCode = 75

// MaxPath is how long the path of a private link may be, in bytes.
var MaxPath = MaxSize - image.Offset(1) - pathOffset - 1

// Supported reports why no launcher can be made for the machine that relinkd was built for.
func Supported() error {
	if listings[runtime.GOARCH].machine == elf.EM_NONE {
		return fmt.Errorf("there is a launcher for amd64 and arm64, not for %s", runtime.GOARCH)
	}
	return nil
}

// New is the launcher that executes the file at path, an absolute one. One path has one launcher: the
// content tells nothing of the generation, which the file's inode and time do.
func New(path string) ([]byte, error) {
	if err := Supported(); err != nil {
		return nil, err
	}
	return listings[runtime.GOARCH].program(path)
}

// program is the whole launcher: the code, then a note that holds the path and that the code points to.
func (l listing) program(path string) ([]byte, error) {
	switch {
	case !filepath.IsAbs(path) || strings.Contains(path, "\x00"):
		return nil, fmt.Errorf("a launcher cannot execute %q: it needs an absolute path", path)
	case len(path) > MaxPath:
		return nil, fmt.Errorf("a launcher cannot execute %.40q…: it holds a path of at most %d bytes, and this one has %d", path, MaxPath, len(path))
	}
	var text bytes.Buffer
	for _, i := range l.code {
		text.WriteString(i.code)
	}
	begin := text.Len()
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(noteName)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(path)+1))
	text.Write(head)
	text.WriteString(noteType + noteName + path + "\x00")
	return image.ELF(l.machine, text.Bytes(), image.Note{Offset: begin, Size: text.Len() - begin}), nil
}

// The note by which a launcher is known: its owner, and the type of what it says, the path.
const (
	noteName = "relinkd\x00"
	noteType = "\x01\x00\x00\x00"
)

// Executes reports whether a file that begins with content is a launcher, of this relinkd or another, and
// what it executes. It needs the first MaxSize bytes of the file, or all of them. What follows them does
// not count: a launcher to which a signature, zeros or a log line was added still executes what it did.
func Executes(content []byte) (path string, is bool) {
	content = content[:min(len(content), MaxSize)]
	if !bytes.HasPrefix(content, []byte(elf.ELFMAG)) {
		return "", false
	}
	_, rest, found := bytes.Cut(content, []byte(noteType+noteName))
	if !found {
		return "", false
	}
	text, _, ended := bytes.Cut(rest, []byte{0})
	return string(text), ended && filepath.IsAbs(string(text))
}
