package launcher

import "debug/elf"

// listing is the launcher's code for one machine. A test disassembles it, and holds it against what is
// said here.
type listing struct {
	machine elf.Machine
	code    []instruction
}

// instruction is one machine instruction, in bytes and in words.
type instruction struct {
	code string
	text string // as golang.org/x/arch prints it: Intel's syntax, and GNU's for arm64
	what string
}

// pathOffset is where the path stands, from the first instruction: after 40 bytes of code and 20 of
// the note's head.
const pathOffset = 60

// At its start a program finds argc at the top of the stack, above it the arguments and a null
// pointer, then the environment (the psABI of each machine; fs/binfmt_elf.c). So both programs are:
//
//	execve(path, &arguments[0], &arguments[argc+1])
//	exit_group(75)
//
// The system call numbers are those of arch/x86/entry/syscalls/syscall_64.tbl and of
// include/uapi/asm-generic/unistd.h.
var listings = map[string]listing{
	"amd64": {elf.EM_X86_64, []instruction{
		{"\x48\x8b\x0c\x24", "mov rcx, qword ptr [rsp]", "argc"},
		{"\x48\x8d\x74\x24\x08", "lea rsi, ptr [rsp+0x8]", "the arguments"},
		{"\x48\x8d\x54\xce\x08", "lea rdx, ptr [rsi+8*rcx+0x8]", "the environment, after the null pointer"},
		{"\x48\x8d\x3d\x27\x00\x00\x00", "lea rdi, ptr [rip+0x27]", "the path, 39 bytes after this instruction"},
		{"\xb8\x3b\x00\x00\x00", "mov eax, 0x3b", "59: execve"},
		{"\x0f\x05", "syscall", "returns only when it fails"},
		{"\xbf\x4b\x00\x00\x00", "mov edi, 0x4b", "75: EX_TEMPFAIL"},
		{"\xb8\xe7\x00\x00\x00", "mov eax, 0xe7", "231: exit_group"},
		{"\x0f\x05", "syscall", "does not return"},
	}},
	"arm64": {elf.EM_AARCH64, []instruction{
		{"\xe3\x03\x40\xf9", "ldr x3, [sp]", "argc"},
		{"\xe1\x23\x00\x91", "add x1, sp, #0x8", "the arguments"},
		{"\x22\x0c\x03\x8b", "add x2, x1, x3, lsl #3", "8 bytes each"},
		{"\x42\x20\x00\x91", "add x2, x2, #0x8", "the environment, after the null pointer"},
		{"\x60\x01\x00\x10", "adr x0, .+0x2c", "the path, 44 bytes from this instruction"},
		{"\xa8\x1b\x80\xd2", "mov x8, #0xdd", "221: execve"},
		{"\x01\x00\x00\xd4", "svc #0x0", "returns only when it fails"},
		{"\x60\x09\x80\xd2", "mov x0, #0x4b", "75: EX_TEMPFAIL"},
		{"\xc8\x0b\x80\xd2", "mov x8, #0x5e", "94: exit_group"},
		{"\x01\x00\x00\xd4", "svc #0x0", "does not return"},
	}},
}
