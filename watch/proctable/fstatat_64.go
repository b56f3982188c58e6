//go:build amd64 || arm64 || loong64 || ppc64 || ppc64le || riscv64 || s390x

package proctable

import "golang.org/x/sys/unix"

// sysFstatat is the call that fills in a unix.Stat_t as it is laid out on this machine.
const sysFstatat = unix.SYS_NEWFSTATAT
