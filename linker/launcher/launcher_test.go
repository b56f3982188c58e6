package launcher

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"

	"relinkd/internal/image"
)

const private = "/usr/lib/cyrus/bin/.relinkd/imapd"

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parse is a launcher and its headers.
func parse(t *testing.T, arch, path string) ([]byte, *elf.File) {
	t.Helper()
	content, err := listings[arch].program(path)
	must(t, err)
	f, err := elf.NewFile(bytes.NewReader(content))
	must(t, err)
	return content, f
}

// each runs the test for each machine that there is a launcher for.
func each(t *testing.T, test func(t *testing.T, arch string)) {
	for _, arch := range slices.Sorted(maps.Keys(listings)) {
		t.Run(arch, func(t *testing.T) { test(t, arch) })
	}
}

// disassemble is one instruction in words, and how many bytes it takes.
func disassemble(t *testing.T, arch string, code []byte) (text string, size int) {
	t.Helper()
	if arch == "arm64" {
		inst, err := arm64asm.Decode(code)
		must(t, err)
		return arm64asm.GNUSyntax(inst), 4
	}
	inst, err := x86asm.Decode(code, 64)
	must(t, err)
	return x86asm.IntelSyntax(inst, 0, nil), inst.Len
}

// TestListing disassembles each launcher as the kernel would begin it, and holds it against what the
// listing says.
func TestListing(t *testing.T) {
	each(t, func(t *testing.T, arch string) {
		content, f := parse(t, arch, private)
		at := f.Entry - f.Progs[0].Vaddr
		begin := at
		for _, want := range listings[arch].code {
			text, size := disassemble(t, arch, content[at:])
			if text != want.text || size != len(want.code) {
				t.Errorf("at %d: %q of %d bytes, the listing says %q of %d", at-begin, text, size, want.text, len(want.code))
			}
			if want.what == "" {
				t.Errorf("the listing does not say what %q is for", want.text)
			}
			at += uint64(size)
		}
		note := f.Progs[2]
		if at != note.Off {
			t.Errorf("the code ends at %d, the note begins at %d", at, note.Off)
		}
		if got := content[begin+pathOffset:]; !bytes.Equal(got, []byte(private+"\x00")) {
			t.Errorf("at %d, which the code points to, is %q", pathOffset, got)
		}
	})
}

// TestPointer computes where the instruction that loads the path's address points to.
func TestPointer(t *testing.T) {
	each(t, func(t *testing.T, arch string) {
		at := 0
		for _, i := range listings[arch].code {
			next := at + len(i.code)
			points := -1
			switch {
			case strings.HasPrefix(i.text, "lea rdi"):
				points = next + int(int32(binary.LittleEndian.Uint32([]byte(i.code[3:]))))
			case strings.HasPrefix(i.text, "adr x0"):
				word := binary.LittleEndian.Uint32([]byte(i.code))
				points = at + int(word>>5&0x7ffff)<<2 + int(word>>29&3)
			}
			if points >= 0 && points != pathOffset {
				t.Errorf("%q points to %d, the path stands at %d", i.text, points, pathOffset)
			} else if points >= 0 {
				return
			}
			at = next
		}
		t.Error("nothing points to the path")
	})
}

func TestLayout(t *testing.T) {
	each(t, func(t *testing.T, arch string) {
		content, f := parse(t, arch, private)
		if f.Type != elf.ET_EXEC || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || f.Machine != listings[arch].machine || len(f.Sections) != 0 {
			t.Errorf("header %+v", f.FileHeader)
		}
		kinds := []elf.ProgType{}
		for _, p := range f.Progs {
			kinds = append(kinds, p.Type)
			if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
				t.Errorf("%v can be written and executed", p.Type)
			}
			if p.Off+p.Filesz > uint64(len(content)) || p.Type == elf.PT_LOAD && p.Flags&elf.PF_W != 0 {
				t.Errorf("segment %+v", p.ProgHeader)
			}
		}
		if !slices.Equal(kinds, []elf.ProgType{elf.PT_LOAD, elf.PT_GNU_STACK, elf.PT_NOTE}) {
			t.Errorf("segments %v", kinds)
		}
		note := make([]byte, f.Progs[2].Filesz)
		_, err := f.Progs[2].ReadAt(note, 0)
		must(t, err)
		size := binary.LittleEndian.Uint32(note[4:])
		if string(note[12:20]) != noteName || string(note[20:20+size]) != private+"\x00" || len(note) != int(20+size) {
			t.Errorf("note %q", note)
		}
	})
}

func TestPaths(t *testing.T) {
	each(t, func(t *testing.T, arch string) {
		long := "/" + strings.Repeat("d", MaxPath-1)
		content, _ := parse(t, arch, long)
		if len(content) != MaxSize || MaxSize >= 1024 {
			t.Errorf("%d bytes with the longest path", len(content))
		}
		for _, path := range []string{private, "/", "/a b/\xff", long} {
			content, _ := parse(t, arch, path)
			if got, is := Executes(content); got != path || !is {
				t.Errorf("it executes %q, %v, want %q", got, is, path)
			}
		}
		for _, path := range []string{"", "relative", "/null\x00byte", long + "d"} {
			if content, err := listings[arch].program(path); err == nil || content != nil {
				t.Errorf("there is a launcher for %q", path)
			}
		}
	})
}

// TestExecutes: nothing but a launcher is taken for one.
func TestExecutes(t *testing.T) {
	content, _ := parse(t, "amd64", private)
	for name, content := range map[string][]byte{
		"nothing":       nil,
		"a script":      []byte("#!/bin/sh\n" + noteType + noteName + "/x\x00"),
		"no note":       image.ELF(elf.EM_X86_64, []byte("\x0f\x05")),
		"cut short":     content[:len(content)-1],
		"no path":       append(content[:image.Offset(1)+pathOffset:image.Offset(1)+pathOffset], "imapd\x00"...),
		"another owner": bytes.Replace(content, []byte("relinkd\x00"), []byte("rechain\x00"), 1),
		"its note late": append(image.ELF(elf.EM_X86_64, make([]byte, MaxSize)), content...),
	} {
		if path, is := Executes(content); is {
			t.Errorf("%s: it is taken for a launcher of %q", name, path)
		}
	}
}

func TestSupported(t *testing.T) {
	_, there := listings[runtime.GOARCH]
	if err := Supported(); (err == nil) != there {
		t.Errorf("%v on %s", err, runtime.GOARCH)
	}
	if content, err := New(private); (err == nil) != there || (content == nil) == there {
		t.Errorf("%d bytes, %v on %s", len(content), err, runtime.GOARCH)
	}
}
