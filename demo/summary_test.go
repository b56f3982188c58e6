package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// good is a summary with nothing to complain about.
func good() Summary {
	return Summary{
		Seconds: 20.004, Rotations: 41, Copies: 13, Threshold: 30, HighestCopy: 27, HighestCopyReported: 26,
		UpgradeMS: 31.25, FirstNewSpawnMS: 4, DeletionRepairMS: 21.4, Restored: true, RestoredInode: 77,
		Spawns: 1300, SpawnsInGap: 2,
	}
}

func TestSummaryText(t *testing.T) {
	s := good()
	s.judge()
	want := `
relinkd demo: 20 seconds
  spawns      1300 through one path, 0 failed
  rotations   41, over 13 copies
  load        at most 27 processes on one executable, of 30 allowed (relinkd counted 26)
  upgrade     published after 31.2 ms, the first process of the new version after 4.0 ms, 0 of the old one since
  deletion    the link was back after 21.4 ms; further spawns, refused while it was deleted: 2
  restored    the packaged file is back, inode 77
`
	if diff := cmp.Diff(want, s.text()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestSummaryProblems(t *testing.T) {
	for _, test := range []struct {
		name  string
		count tally
		edit  func(*Summary)
		want  string
	}{
		{"nothing wrong", tally{spawns: 9, refused: 3}, func(*Summary) {}, ""},
		{"nothing done", tally{}, func(*Summary) {}, "there was no spawn"},
		{"failed", tally{spawns: 9, failed: 2, firstFailure: errors.New("text file busy")}, func(*Summary) {},
			"2 of 9 spawns failed, the first: text file busy"},
		{"over the threshold", tally{spawns: 9}, func(s *Summary) { s.HighestCopy = 31 },
			"31 processes ran one executable, the threshold is 30"},
		{"over by relinkd's count", tally{spawns: 9}, func(s *Summary) { s.HighestCopyReported = 32 },
			"32 processes ran one executable, the threshold is 30"},
		{"old version", tally{spawns: 9, outdated: 1}, func(*Summary) {},
			"processes that ran the old version although the new one was published: 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := good()
			test.edit(&s)
			s.count(test.count)
			s.judge()
			if got := strings.Join(s.Problems, "; "); got != test.want {
				t.Errorf("problems %q, want %q", got, test.want)
			}
			if test.want != "" && !strings.Contains(s.text(), "FAILED      "+test.want) {
				t.Errorf("the text does not say so:\n%s", s.text())
			}
		})
	}
}

func TestSummaryJSON(t *testing.T) {
	var out bytes.Buffer
	s := good()
	if err := s.write(Options{JSON: true, Out: &out}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"problems": []`) {
		t.Errorf("no problems are not an empty list:\n%s", out.String())
	}
	var got Summary
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	s.Problems = []string{}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
