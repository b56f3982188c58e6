#include "textflag.h"

// rt_sigaction(SIGHUP, {SIG_IGN}, &inherited, 8), and on to where a Go program begins. There is no stack frame: at
// SP stand argc and argv, and below it nothing does.
TEXT ·entry(SB), NOSPLIT|NOFRAME, $0
	MOVQ $1, ·entered(SB)
	MOVQ $1, -32(SP)
	MOVQ $0, -24(SP)
	MOVQ $0, -16(SP)
	MOVQ $0, -8(SP)
	MOVQ $13, AX
	MOVQ $1, DI
	LEAQ -32(SP), SI
	LEAQ ·inherited(SB), DX
	MOVQ $8, R10
	SYSCALL
	JMP _rt0_amd64_linux(SB)
