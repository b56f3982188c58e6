package pool

import "fmt"

// MaxCopies is the highest number a copy can have.
const MaxCopies = 999

// PrivateDir is relinkd's own directory inside the install directory.
const PrivateDir = ".relinkd"

// CopyName is the file name of copy number n, 1 to MaxCopies, of the executable name: imapd_001.
func CopyName(name string, n int) string { return fmt.Sprintf("%s_%03d", name, n) }

// CopyNumber is the number in a copy's file name, 0 when file is not exactly what CopyName prints
// for one of name's copies.
func CopyNumber(name, file string) int {
	if len(file) != len(name)+4 || file[:len(name)] != name || file[len(name)] != '_' {
		return 0
	}
	n := 0
	for _, c := range []byte(file[len(name)+1:]) {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}
