package install

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// ident is the bytes up to and with e_machine, which lie alike in both classes.
const ident = 20

// abi is what an executable must have in common with the machine.
type abi struct {
	class   elf.Class
	data    elf.Data
	machine elf.Machine
}

// native is the ABI of the running relinkd itself, which this machine executes for certain.
func native() (abi, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return abi{}, fmt.Errorf("cannot tell what this machine executes: %v", err)
	}
	defer self.Close()
	head := make([]byte, ident)
	if _, err := io.ReadFull(self, head); err != nil {
		return abi{}, fmt.Errorf("cannot tell what this machine executes: /proc/self/exe: %v", err)
	}
	return abiOf(head), nil
}

// abiOf reads the ABI from the first bytes of an ELF file, at least ident of them.
func abiOf(head []byte) abi {
	a := abi{class: elf.Class(head[elf.EI_CLASS]), data: elf.Data(head[elf.EI_DATA])}
	a.machine = elf.Machine(a.order().Uint16(head[18:]))
	return a
}

// order is the byte order of the ABI.
func (a abi) order() binary.ByteOrder {
	if a.data == elf.ELFDATA2MSB {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (a abi) String() string { return fmt.Sprintf("%v %v %v", a.class, a.data, a.machine) }

// checkELF reports why r, a file of size bytes, is no executable of host: an error of kind
// ErrTruncated while its headers, segments and sections end beyond its size. It reads no more than
// the tables of headers, whose lengths are products of two 16-bit numbers of which one is fixed.
func checkELF(r io.ReaderAt, size int64, host abi) error {
	head := make([]byte, 64) // the header of a 64-bit file
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("cannot be read: %v", err)
	}
	head = head[:n]
	switch {
	case n == 0:
		return fmt.Errorf("%w: empty", ErrTruncated)
	case bytes.HasPrefix(head, []byte("#!")):
		return fmt.Errorf("is a script, not an ELF file; relinkd manages the program itself")
	case !bytes.HasPrefix([]byte(elf.ELFMAG), head[:min(n, len(elf.ELFMAG))]):
		return fmt.Errorf("is not an ELF file; relinkd manages executable programs only")
	case n < ident:
		return fmt.Errorf("%w: its header is not all there", ErrTruncated)
	}
	if got := abiOf(head); got != host {
		return fmt.Errorf("is an ELF file of another machine (%v, this one executes %v); install the package for this architecture", got, host)
	}
	h, err := parseHeader(head, host)
	if err != nil {
		return err
	}
	if h.kind != elf.ET_EXEC && h.kind != elf.ET_DYN {
		return fmt.Errorf("is an ELF file of type %v, not a program", h.kind)
	}
	if err := checkSegments(r, size, host, h); err != nil {
		return err
	}
	return checkSections(r, size, host, h)
}

// header is what is used of an ELF header, of either class.
type header struct {
	kind     elf.Type
	segments table
	sections table
}

// table is a run of equally long headers in a file.
type table struct {
	off  uint64
	each uint64 // bytes of one
	n    uint64
}

// parseHeader decodes the first bytes of a file of the given ABI.
func parseHeader(head []byte, a abi) (header, error) {
	if a.class == elf.ELFCLASS32 {
		var h elf.Header32
		if _, err := binary.Decode(head, a.order(), &h); err != nil {
			return header{}, fmt.Errorf("%w: its header is not all there", ErrTruncated)
		}
		return header{
			kind:     elf.Type(h.Type),
			segments: table{uint64(h.Phoff), uint64(h.Phentsize), uint64(h.Phnum)},
			sections: table{uint64(h.Shoff), uint64(h.Shentsize), uint64(h.Shnum)},
		}, nil
	}
	var h elf.Header64
	if _, err := binary.Decode(head, a.order(), &h); err != nil {
		return header{}, fmt.Errorf("%w: its header is not all there", ErrTruncated)
	}
	return header{
		kind:     elf.Type(h.Type),
		segments: table{h.Phoff, uint64(h.Phentsize), uint64(h.Phnum)},
		sections: table{h.Shoff, uint64(h.Shentsize), uint64(h.Shnum)},
	}, nil
}

// read reads a table that must lie within size bytes.
func (t table) read(r io.ReaderAt, size int64, what string) ([]byte, error) {
	length := t.n * t.each
	if !fits(t.off, length, size) {
		return nil, fmt.Errorf("%w: its %s headers end beyond its %d bytes", ErrTruncated, what, size)
	}
	buf := make([]byte, length)
	if _, err := r.ReadAt(buf, int64(t.off)); err == io.EOF {
		return nil, fmt.Errorf("%w: it became shorter", ErrTruncated)
	} else if err != nil {
		return nil, fmt.Errorf("cannot be read: %v", err)
	}
	return buf, nil
}

// fits reports whether length bytes from off on lie within size bytes.
func fits(off, length uint64, size int64) bool {
	return off <= uint64(size) && length <= uint64(size)-off
}

// checkSegments checks the program headers and where their segments end.
func checkSegments(r io.ReaderAt, size int64, a abi, h header) error {
	want := uint64(binary.Size(elf.Prog64{}))
	if a.class == elf.ELFCLASS32 {
		want = uint64(binary.Size(elf.Prog32{}))
	}
	if h.segments.n == 0 || h.segments.each != want {
		return fmt.Errorf("is an ELF file without segments to execute, not a program")
	}
	buf, err := h.segments.read(r, size, "program")
	if err != nil {
		return err
	}
	executable := false
	for i := 0; len(buf) > 0; i, buf = i+1, buf[want:] {
		var p elf.Prog64
		if a.class == elf.ELFCLASS32 {
			var q elf.Prog32
			binary.Decode(buf, a.order(), &q) // buf is long enough
			p = elf.Prog64{Type: q.Type, Flags: q.Flags, Off: uint64(q.Off), Filesz: uint64(q.Filesz)}
		} else {
			binary.Decode(buf, a.order(), &p)
		}
		if p.Filesz > 0 && !fits(p.Off, p.Filesz, size) {
			return fmt.Errorf("%w: its segment %d ends beyond its %d bytes", ErrTruncated, i, size)
		}
		if elf.ProgType(p.Type) == elf.PT_LOAD && elf.ProgFlag(p.Flags)&elf.PF_X != 0 {
			executable = true
		}
	}
	if !executable {
		return fmt.Errorf("is an ELF file without segments to execute, not a program")
	}
	return nil
}

// checkSections checks where the sections end. The kernel does not need them, but their headers
// are the last bytes that a linker and strip write: a file cut short lacks them first.
func checkSections(r io.ReaderAt, size int64, a abi, h header) error {
	want := uint64(binary.Size(elf.Section64{}))
	if a.class == elf.ELFCLASS32 {
		want = uint64(binary.Size(elf.Section32{}))
	}
	if h.sections.off == 0 || h.sections.each != want {
		return nil // stripped of them
	}
	buf, err := h.sections.read(r, size, "section")
	if err != nil {
		return err
	}
	for i := 0; len(buf) > 0; i, buf = i+1, buf[want:] {
		var s elf.Section64
		if a.class == elf.ELFCLASS32 {
			var q elf.Section32
			binary.Decode(buf, a.order(), &q) // buf is long enough
			s = elf.Section64{Type: q.Type, Off: uint64(q.Off), Size: uint64(q.Size)}
		} else {
			binary.Decode(buf, a.order(), &s)
		}
		switch elf.SectionType(s.Type) {
		case elf.SHT_NULL, elf.SHT_NOBITS: // take no room in the file
			continue
		}
		if !fits(s.Off, s.Size, size) {
			return fmt.Errorf("%w: its section %d ends beyond its %d bytes", ErrTruncated, i, size)
		}
	}
	return nil
}
