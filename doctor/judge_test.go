package doctor

import (
	"strings"
	"testing"
)

// says checks the findings: want is a line each, a level's label and then some of what is said, in any
// part of the finding; parts are apart by " | ".
func says(t *testing.T, got []Finding, want ...string) {
	t.Helper()
	var all []string
	for _, f := range got {
		all = append(all, labels[f.Level]+" "+f.What+" / "+f.Why+" / "+f.Do)
		if f.Section == "" || f.What == "" || f.Why == "" || f.Level == Needs && f.Do == "" {
			t.Errorf("a finding lacks something: %+v", f)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d:\n%s", len(got), len(want), strings.Join(all, "\n"))
		return
	}
	for i, line := range want {
		for n, part := range strings.Split(line, " | ") {
			if n == 0 && !strings.HasPrefix(all[i], part) || !strings.Contains(all[i], part) {
				t.Errorf("finding %d: want %q in:\n%s", i, part, all[i])
			}
		}
	}
}
