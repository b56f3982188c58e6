package powercut

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The part of include/uapi/linux/fuse.h that a file system of one regular file needs, which is its
// root. All numbers are in the machine's byte order.
const (
	fuseForget      = 2
	fuseGetattr     = 3
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseRelease     = 18
	fuseFsync       = 20
	fuseFlush       = 25
	fuseInit        = 26
	fuseInterrupt   = 36
	fuseDestroy     = 38
	fuseBatchForget = 42

	fuseMajor, fuseMinor = 7, 31

	fuseBigWrites = 1 << 5  // of INIT's flags
	fuseMaxPages  = 1 << 22 // of INIT's flags
	fuseDirectIO  = 1       // of OPEN's: each write of the loop device arrives here at once

	inHeader  = 40
	outHeader = 16
	writeIn   = 40
	maxWrite  = 1 << 20 // bytes
	maxPages  = maxWrite / 4096
)

// The descriptors that the server of a disk is started with.
const (
	fdFuse = 3 + iota
	fdImage
	fdRecord
)

// serveDisk answers the kernel until the disk is unmounted.
func serveDisk() error {
	d := server{
		fuse:   fdFuse,
		image:  os.NewFile(fdImage, "image"),
		record: os.NewFile(fdRecord, "record"),
	}
	info, err := d.image.Stat()
	if err != nil {
		return err
	}
	d.size = info.Size()
	request := make([]byte, inHeader+writeIn+maxWrite)
	for {
		n, err := unix.Read(d.fuse, request)
		switch err {
		case nil:
		case unix.EINTR, unix.EAGAIN, unix.ENOENT: // ENOENT: the request was taken back
			continue
		case unix.ENODEV:
			return nil
		default:
			return err
		}
		if err := d.serve(request[:n]); err != nil {
			return err
		}
	}
}

// server serves one disk, a request after the other.
type server struct {
	fuse   int // a descriptor of /dev/fuse
	image  *os.File
	record *os.File
	size   int64 // of the disk, bytes
}

func (d *server) serve(request []byte) error {
	order := binary.NativeEndian
	body := request[inHeader:]
	switch order.Uint32(request[4:]) {
	case fuseInit:
		return d.reply(request, fields(uint32(fuseMajor), uint32(fuseMinor), order.Uint32(body[8:]), uint32(fuseBigWrites|fuseMaxPages),
			uint16(0), uint16(0), uint32(maxWrite), uint32(1), uint16(maxPages), uint16(0), [8]uint32{}))
	case fuseGetattr:
		const forever = 1 << 30 // seconds
		return d.reply(request, fields(uint64(forever), uint32(0), uint32(0),
			uint64(1), uint64(d.size), uint64(d.size/512), [3]uint64{}, [3]uint32{},
			uint32(unix.S_IFREG|0o600), uint32(1), uint32(0), uint32(0), uint32(0), uint32(blockSize), uint32(0)))
	case fuseOpen:
		return d.reply(request, fields(uint64(0), uint32(fuseDirectIO), uint32(0)))
	case fuseRead:
		data := make([]byte, order.Uint32(body[16:]))
		n, err := d.image.ReadAt(data, int64(order.Uint64(body[8:])))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return d.reply(request, data[:n])
	case fuseWrite:
		offset, data := int64(order.Uint64(body[8:])), body[writeIn:]
		if err := appendEvent(d.record, event{offset: offset, data: data}); err != nil {
			return err
		}
		if _, err := d.image.WriteAt(data, offset); err != nil {
			return err
		}
		return d.reply(request, fields(uint32(len(data)), uint32(0)))
	case fuseFsync:
		if err := appendEvent(d.record, event{flush: true}); err != nil {
			return err
		}
		return d.reply(request, nil)
	case fuseFlush, fuseRelease, fuseDestroy:
		return d.reply(request, nil)
	case fuseForget, fuseBatchForget, fuseInterrupt: // have no answer
		return nil
	default: // also FALLOCATE: the kernel then writes zeroes, and never discards
		return d.answer(request, unix.ENOSYS, nil)
	}
}

func (d *server) reply(request, body []byte) error { return d.answer(request, 0, body) }

func (d *server) answer(request []byte, errno unix.Errno, body []byte) error {
	unique := binary.NativeEndian.Uint64(request[8:])
	head := fields(uint32(outHeader+len(body)), -int32(errno), unique)
	_, err := unix.Write(d.fuse, append(head, body...))
	if err == unix.ENOENT { // nobody waits for it any more
		return nil
	}
	return err
}

// fields lays numbers out one after the other.
func fields(values ...any) (b []byte) {
	for _, v := range values {
		var err error
		if b, err = binary.Append(b, binary.NativeEndian, v); err != nil {
			panic(err) // a value without a fixed size
		}
	}
	return b
}
