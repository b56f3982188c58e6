package watch

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// firstBlock is where on its file system's device a file's content begins, in bytes: FS_IOC_FIEMAP of
// linux/fiemap.h.
func firstBlock(f *os.File) (uint64, error) {
	var request struct {
		start, length                   uint64
		flags, mapped, count, reserved  uint32
		logical, physical, extentLength uint64
		reserved64                      [2]uint64
		extentFlags                     uint32
		reserved32                      [3]uint32
	}
	request.length, request.count = 1, 1
	const fsIocFiemap = 0xC020660B
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fsIocFiemap, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0, errno
	}
	if request.mapped != 1 || request.physical == 0 {
		return 0, errors.New("the file has no block of its own")
	}
	return request.physical, nil
}
