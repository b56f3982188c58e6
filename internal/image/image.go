// Package image lays out the smallest static programs there are: headers and machine code in one
// page, without a compiler, a linker or a library. It must never map anything writable.
package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

const (
	headerSize  = 64 // of Elf64_Ehdr
	segmentSize = 56 // of Elf64_Phdr

	// base is where the file is mapped: above vm.mmap_min_addr, and a multiple of align.
	base = 0x400000
	// align is the largest page of the two machines: arm64 kernels are built with up to 64 KiB.
	align = 0x10000
)

// Offset is where the text begins in the file of an ELF with so many notes.
func Offset(notes int) int { return headerSize + (2+notes)*segmentSize }

// Note is a part of the text that tools are to find as an ELF note (readelf -n).
type Note struct{ Offset, Size int } // bytes, the offset within the text

// ELF is a whole file: the headers and the text, which begins with the machine code to execute, mapped
// as one segment to read and execute. A header of its own keeps the stack from being executable, which
// SELinux would refuse.
func ELF(machine elf.Machine, text []byte, notes ...Note) []byte {
	at := Offset(len(notes))
	size := uint64(at + len(text))
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Align: align},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)},
	}
	for _, n := range notes {
		off, length := uint64(at+n.Offset), uint64(n.Size)
		segments = append(segments, elf.Prog64{
			Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: off, Vaddr: base + off, Paddr: base + off, Filesz: length, Memsz: length, Align: 4,
		})
	}
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err) // a header that has no fixed size: impossible with debug/elf's types
		}
	}
	put(elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F',
			elf.EI_CLASS:   byte(elf.ELFCLASS64),
			elf.EI_DATA:    byte(elf.ELFDATA2LSB),
			elf.EI_VERSION: byte(elf.EV_CURRENT),
		},
		Type:      uint16(elf.ET_EXEC),
		Machine:   uint16(machine),
		Version:   uint32(elf.EV_CURRENT),
		Entry:     base + uint64(at),
		Phoff:     headerSize,
		Ehsize:    headerSize,
		Phentsize: segmentSize,
		Phnum:     uint16(len(segments)),
	})
	put(segments)
	b.Write(text)
	return b.Bytes()
}
