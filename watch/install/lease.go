package install

import (
	"fmt"
	"os"

	"relinkd/fsys"
)

// lease reports ErrWriting when anybody has f open for writing. leased is false when that cannot be
// asked on f's file system.
func lease(f *os.File) (leased bool, err error) {
	writer, known, err := fsys.HasWriter(f)
	switch {
	case err != nil:
		return false, fmt.Errorf("%w; relinkd needs to own it or have CAP_LEASE", err)
	case writer:
		return true, fmt.Errorf("%s: %w", f.Name(), ErrWriting)
	}
	return known, nil
}
