//go:build 386 || arm

package proctable

import "golang.org/x/sys/unix"

// sysFstatat is the call that fills in a unix.Stat_t as it is laid out on this machine: the one
// with 64-bit inode numbers.
const sysFstatat = unix.SYS_FSTATAT64
