package standin

import (
	"debug/elf"
	"strings"

	"relinkd/internal/image"
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

// program is the whole file: at least size bytes, of which the last are the version.
func program(machine elf.Machine, code, version string, size int) []byte {
	padding := max(0, size-codeOffset-len(code)-len(version))
	return image.ELF(machine, []byte(code+strings.Repeat("\x00", padding)+version))
}

// codeOffset is where the code begins in the file.
var codeOffset = image.Offset(0)
