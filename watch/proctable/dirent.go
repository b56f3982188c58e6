package proctable

import (
	"bytes"
	"encoding/binary"
)

// Where the fields of struct linux_dirent64 are (include/linux/dirent.h): inode and offset, eight
// bytes each, come first; the name ends with a NUL and is padded to the next entry.
const (
	direntLength = 16 // of the whole entry, 16 bits
	direntName   = 19 // after one byte of file type
)

// cutDirent splits what getdents64 wrote into the name of the first entry and the entries after
// it. Both alias buf. ok is false when buf does not begin with a whole entry.
func cutDirent(buf []byte) (name, rest []byte, ok bool) {
	if len(buf) < direntName {
		return nil, nil, false
	}
	n := int(binary.NativeEndian.Uint16(buf[direntLength:]))
	if n < direntName || n > len(buf) {
		return nil, nil, false
	}
	name = buf[direntName:n]
	end := bytes.IndexByte(name, 0)
	if end < 0 {
		return nil, nil, false
	}
	return name[:end], buf[n:], true
}

// maxPIDDigits is the length of the largest pid_t.
const maxPIDDigits = 10

// isPID reports whether an entry of /proc is a process.
func isPID(name []byte) bool {
	if len(name) == 0 || len(name) > maxPIDDigits {
		return false
	}
	for _, c := range name {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// parsePID is the number of a process whose name isPID.
func parsePID(name []byte) int32 {
	n := int32(0)
	for _, c := range name {
		n = 10*n + int32(c-'0')
	}
	return n
}
