package install

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var abis = map[string]abi{
	"x86-64":  {elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EM_X86_64},
	"s390x":   {elf.ELFCLASS64, elf.ELFDATA2MSB, elf.EM_S390},
	"i386":    {elf.ELFCLASS32, elf.ELFDATA2LSB, elf.EM_386},
	"powerpc": {elf.ELFCLASS32, elf.ELFDATA2MSB, elf.EM_PPC},
}

// TestELFPrefixes cuts executables short at every byte: each prefix is one that time may heal.
func TestELFPrefixes(t *testing.T) {
	for name, a := range abis {
		data := imageOf(a, 0)
		if err := checkELF(bytes.NewReader(data), int64(len(data)), a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range len(data) {
			if err := checkELF(bytes.NewReader(data[:n]), int64(n), a); !errors.Is(err, ErrTruncated) {
				t.Errorf("%s: %d of %d bytes: %v, want ErrTruncated", name, n, len(data), err)
			}
		}
	}
}

// TestELFReal does the same at some lengths of a program that a distribution built.
func TestELFReal(t *testing.T) {
	path, err := filepath.EvalSymlinks("/bin/cp")
	check(t, err)
	data, err := os.ReadFile(path)
	check(t, err)
	host, err := native()
	check(t, err)
	if err := checkELF(bytes.NewReader(data), int64(len(data)), host); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for n := 0; n < len(data); n += 1 + len(data)/97 {
		if err := checkELF(bytes.NewReader(data[:n]), int64(n), host); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d of %d bytes of %s: %v", n, len(data), path, err)
		}
	}
}

// TestELFSectionless takes a program whose section headers were cut off.
func TestELFSectionless(t *testing.T) {
	a := abis["x86-64"]
	data := imageOf(a, 0)
	a.order().PutUint64(data[0x18:], 1<<40) // e_entry: taken for a section it would end beyond the file
	a.order().PutUint64(data[0x28:], 0)     // e_shoff
	data = data[:64+56+128]
	if err := checkELF(bytes.NewReader(data), int64(len(data)), a); err != nil {
		t.Error(err)
	}
}

func TestELFRefused(t *testing.T) {
	a := abis["x86-64"]
	edit := func(do func(d []byte)) []byte {
		data := imageOf(a, 0)
		do(data)
		return data
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"script", []byte("#!/bin/sh\nexec imapd\n"), "is a script"},
		{"text", []byte("x"), "not an ELF file"},
		{"zeros", make([]byte, 4096), "not an ELF file"},
		{"machine", imageOf(abis["s390x"], 0), "of another machine"},
		{"class", imageOf(abis["i386"], 0), "of another machine"},
		{"object", edit(func(d []byte) { a.order().PutUint16(d[16:], uint16(elf.ET_REL)) }), "type ET_REL"},
		{"no segments", edit(func(d []byte) { a.order().PutUint16(d[56:], 0) }), "without segments"},
		{"odd segments", edit(func(d []byte) { a.order().PutUint16(d[54:], 55) }), "without segments"},
		{"nothing executable", edit(func(d []byte) { a.order().PutUint32(d[68:], uint32(elf.PF_R)) }), "without segments"},
	} {
		err := checkELF(bytes.NewReader(tt.data), int64(len(tt.data)), a)
		if err == nil || !strings.Contains(err.Error(), tt.want) || isIncomplete(err) {
			t.Errorf("%s: %v, want a refusal with %q", tt.name, err, tt.want)
		}
	}
}

// counting counts what is read and fails a read that is out of proportion.
type counting struct {
	*bytes.Reader
	read int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.read += len(p)
	return c.Reader.ReadAt(p, off)
}

// FuzzELF looks for headers that make the check panic, read beyond the tables, or accept what ends
// beyond the file.
func FuzzELF(f *testing.F) {
	for _, a := range abis {
		f.Add(imageOf(a, 0))
		f.Add(imageOf(a, 0)[:90])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, a := range abis {
			r := &counting{Reader: bytes.NewReader(data)}
			err := checkELF(r, int64(len(data)), a)
			if r.read > 64+2*len(data) {
				t.Errorf("read %d bytes of a file of %d", r.read, len(data))
			}
			if err == nil && len(data) < 52+32 {
				t.Errorf("%d bytes were accepted", len(data))
			}
		}
	})
}
