package pool

import (
	"fmt"
	"strconv"
)

// MaxCopies is the highest number a copy can have.
const MaxCopies = 999

// CopyName is the file name of copy number n of the executable name: imapd_001.
func CopyName(name string, n int) string { return fmt.Sprintf("%s_%03d", name, n) }

// CopyNumber is the number in a copy's file name, 0 when file is no copy's name of name.
func CopyNumber(name, file string) int {
	if len(file) != len(name)+4 || file[:len(name)] != name || file[len(name)] != '_' {
		return 0
	}
	n, err := strconv.ParseUint(file[len(name)+1:], 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}
