package fstest

import (
	"os"
	"path/filepath"
	"testing"
)

// Passable is dir, after others than root were let through it and those above it up to the directory for
// temporary files: a test's own is made for its user alone, and where only root can pass no service could
// execute anything.
func Passable(t testing.TB, dir string) string {
	t.Helper()
	top := filepath.Clean(os.TempDir())
	for at := filepath.Clean(dir); at != top && len(at) > len(top); at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() == 0o700 {
			if err := os.Chmod(at, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}
