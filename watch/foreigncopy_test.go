package watch

import (
	"context"
	"slices"
	"strings"
	"testing"

	"relinkd/internal/standin"
)

// Restore names each file of a copy's name that it leaves, whoever has put it there and whenever.
func TestRestoreNamesWhatItLeaves(t *testing.T) {
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.waitFor("steady", func(st TargetStatus) bool { return st.State == Steady })
	must(t, standin.Write(s.copy(2), "other"))
	must(t, standin.Write(s.copy(7), "other"))
	d.waitFor("a look at copy 2", func(st TargetStatus) bool {
		return st.State == Degraded || !slices.ContainsFunc(st.Copies, func(c CopyStatus) bool { return c.Number == 2 })
	})
	r, err := d.Restore(context.Background(), name, false)
	must(t, err)
	s.holds(s.copy(7), "other")
	for _, left := range []int{2, 7} {
		if lstat(t, s.copy(left)).Ino != 0 && !strings.Contains(strings.Join(r.Warnings, "\n"), s.copy(left)) {
			t.Errorf("copy %d is left without a word: %q", left, r.Warnings)
		}
	}
}
