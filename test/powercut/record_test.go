package powercut

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"
)

// blockSize is what a disk writes as a whole or not at all, in bytes.
const blockSize = 4096

// event is a write to the disk or, with flush, the request to make all earlier ones durable.
type event struct {
	flush  bool
	offset int64
	data   []byte
}

const eventHeader = 16 // offset and length; a flush has an offset of its own
const flushOffset = ^uint64(0)

// appendEvent writes an event down before it is answered. It thus stands before everything that
// whoever waits for the answer does then.
func appendEvent(record *os.File, e event) error {
	offset := uint64(e.offset)
	if e.flush {
		offset = flushOffset
	}
	_, err := record.Write(append(fields(offset, uint64(len(e.data))), e.data...))
	return err
}

// parseRecord reads what appendEvent wrote. ends[i] is the length of the record after event i, in
// bytes.
func parseRecord(record []byte) (events []event, ends []int64, err error) {
	for at := 0; at < len(record); {
		if len(record)-at < eventHeader {
			return nil, nil, io.ErrUnexpectedEOF
		}
		offset := binary.NativeEndian.Uint64(record[at:])
		length := int(binary.NativeEndian.Uint64(record[at+8:]))
		at += eventHeader
		if length < 0 || len(record)-at < length {
			return nil, nil, io.ErrUnexpectedEOF
		}
		e := event{flush: offset == flushOffset}
		if !e.flush {
			e.offset, e.data = int64(offset), record[at:at+length]
		}
		at += length
		events, ends = append(events, e), append(ends, int64(at))
	}
	return events, ends, nil
}

// content is the blocks of a disk that are not all zero, by number. The blocks are never written to.
type content map[int64][]byte

// readContent reads a disk image.
func readContent(image *os.File) (content, error) {
	c := content{}
	fd := int(image.Fd())
	for at := int64(0); ; {
		start, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		data := make([]byte, end-start)
		if _, err := image.ReadAt(data, start); err != nil {
			return nil, err
		}
		c.write(start, data, func() bool { return true })
		at = end
	}
}

// write does those blocks of a write that keep says have reached the disk.
func (c content) write(offset int64, data []byte, keep func() bool) {
	for len(data) > 0 {
		number, within := offset/blockSize, offset%blockSize
		n := min(int64(len(data)), blockSize-within)
		if keep() {
			block := data[:n]
			if n < blockSize {
				block = make([]byte, blockSize)
				copy(block, c[number])
				copy(block[within:], data[:n])
			}
			c[number] = block
		}
		offset, data = offset+n, data[n:]
	}
}

// cut is a power cut: after the first at events, and of the writes since the last flush before
// that only those blocks reached the disk that chance says.
type cut struct {
	at   int
	kept float64 // the chance of a block to have been written, 1 for all
	seed uint64
}

// left is what the disk holds after the cut; durable is what it held at the last flush before it, and
// pending is the events since.
func (c cut) left(durable content, pending []event) content {
	disk := maps.Clone(durable)
	chance := rand.New(rand.NewPCG(c.seed, uint64(c.at)))
	for _, e := range pending {
		disk.write(e.offset, e.data, func() bool { return chance.Float64() < c.kept })
	}
	return disk
}
