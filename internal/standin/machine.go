package standin

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// The layout of an image: the ELF header, two program headers, the code, the padding, the version.
const (
	headerSize  = 64 // of Elf64_Ehdr
	segmentSize = 56 // of Elf64_Phdr
	segments    = 2
	codeOffset  = headerSize + segments*segmentSize

	// base is where the file is mapped: above vm.mmap_min_addr, and a multiple of align.
	base = 0x400000
	// align is the largest page of the two machines: arm64 kernels are built with up to 64 KiB.
	align = 0x10000
)

// Both programs are the same one:
//
//	reserve 256 bytes of stack
//	do n = read(0, stack, 256) while n > 0
//	exit_group(0)
//
// The system call numbers are those of arch/x86/entry/syscalls/syscall_64.tbl and of
// include/uapi/asm-generic/unistd.h.

// amd64Code is the program for elf.EM_X86_64.
const amd64Code = "" +
	"\x48\x81\xec\x00\x01\x00\x00" + // sub rsp, 256
	"\x31\xff" + // loop: xor edi, edi; the descriptor
	"\x48\x89\xe6" + // mov rsi, rsp; the buffer
	"\xba\x00\x01\x00\x00" + // mov edx, 256; its size
	"\x31\xc0" + // xor eax, eax; read is 0
	"\x0f\x05" + // syscall
	"\x48\x85\xc0" + // test rax, rax
	"\x7f\xed" + // jg loop; 19 bytes back
	"\x31\xff" + // xor edi, edi; the exit code
	"\xb8\xe7\x00\x00\x00" + // mov eax, 231; exit_group
	"\x0f\x05" // syscall

// arm64Code is the program for elf.EM_AARCH64.
const arm64Code = "" +
	"\xff\x03\x04\xd1" + // sub sp, sp, #256
	"\x00\x00\x80\xd2" + // loop: mov x0, #0; the descriptor
	"\xe1\x03\x00\x91" + // mov x1, sp; the buffer
	"\x02\x20\x80\xd2" + // mov x2, #256; its size
	"\xe8\x07\x80\xd2" + // mov x8, #63; read
	"\x01\x00\x00\xd4" + // svc #0
	"\x1f\x00\x00\xf1" + // cmp x0, #0
	"\x4c\xff\xff\x54" + // b.gt loop; 6 instructions back
	"\x00\x00\x80\xd2" + // mov x0, #0; the exit code
	"\xc8\x0b\x80\xd2" + // mov x8, #94; exit_group
	"\x01\x00\x00\xd4" // svc #0

// image is the whole file: at least size bytes, mapped as one segment that ends where it ends. The
// second program header keeps the stack from being executable, which SELinux would refuse.
func image(machine elf.Machine, code, version string, size int) []byte {
	size = max(size, codeOffset+len(code)+len(version))
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
		Entry:     base + codeOffset,
		Phoff:     headerSize,
		Ehsize:    headerSize,
		Phentsize: segmentSize,
		Phnum:     segments,
	})
	put(elf.Prog64{
		Type:   uint32(elf.PT_LOAD),
		Flags:  uint32(elf.PF_R | elf.PF_X),
		Vaddr:  base,
		Paddr:  base,
		Filesz: uint64(size),
		Memsz:  uint64(size),
		Align:  align,
	})
	put(elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)})
	b.WriteString(code)
	b.Write(make([]byte, size-b.Len()-len(version)))
	b.WriteString(version)
	return b.Bytes()
}
