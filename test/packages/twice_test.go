package packages_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The same commit gives the same bytes, in another directory and at another time.
func TestTwice(t *testing.T) {
	slow(t)
	first := slices.Concat(packages(t, older, "deb"), packages(t, older, "rpm"))
	checkout, dist := filepath.Join(scratch, "another-checkout"), filepath.Join(scratch, "again")
	// A copy of what git knows, changes that are not committed yet included.
	if _, err := command(time.Minute, "bash", "-c", `cd ../.. && git clone -q --no-checkout . "$1" && git ls-files -z |
		xargs -0 sh -c 'for file; do [ -e "$file" ] && printf "%s\0" "$file"; done' sh | xargs -0 cp --parents -t "$1"`, "bash", checkout); err != nil {
		t.Fatal(err)
	}
	if err := makePackages(checkout, older, dist); err != nil {
		t.Fatal(err)
	}
	for _, name := range first {
		a, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dist, filepath.Base(name)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same when it is built again", filepath.Base(name))
		}
	}
}
