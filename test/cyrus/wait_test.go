package cyrus_test

import (
	"testing"
	"time"
)

// await polls until ok holds, for at most limit; then t ends, saying what was waited for.
func await(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
