package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Summary is what came of a demonstration.
type Summary struct {
	Seconds             float64  `json:"seconds"` // under load
	Spawns              int      `json:"spawns"`
	FailedSpawns        int      `json:"failed_spawns"`
	FirstFailure        string   `json:"first_failure"`
	SpawnsInGap         int      `json:"spawns_in_gap"` // refused while the demonstration itself had deleted the link; not among Spawns
	Rotations           int      `json:"rotations"`
	Copies              int      `json:"copies"`
	Threshold           int      `json:"threshold"`
	HighestCopy         int      `json:"highest_copy"`          // most processes on one executable, by the demonstration's own look at /proc
	HighestCopyReported int      `json:"highest_copy_reported"` // the same by relinkd's count
	UpgradeMS           float64  `json:"upgrade_ms"`            // from the new file at the path to all copies made and published
	FirstNewSpawnMS     float64  `json:"first_new_spawn_ms"`    // from the new file at the path to the first process that runs the new version
	OldSpawnsAfter      int      `json:"old_spawns_after_upgrade"`
	DeletionRepairMS    float64  `json:"deletion_repair_ms"` // from the deletion of the link to a new one
	Restored            bool     `json:"restored"`
	RestoredInode       uint64   `json:"restored_inode"`
	Problems            []string `json:"problems"` // promises that were not kept, a clause each; empty when all were
}

// problem adds to what was not as it should be.
func (s *Summary) problem(format string, a ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, a...))
}

// count takes over what the master counted, when all its processes have been reaped.
func (s *Summary) count(t tally) {
	s.Spawns = t.spawns
	s.FailedSpawns = t.failed
	s.SpawnsInGap = t.refused
	s.OldSpawnsAfter = t.outdated
	if t.firstFailure != nil {
		s.FirstFailure = t.firstFailure.Error()
	}
}

// judge adds the problems that the counts show.
func (s *Summary) judge() {
	if s.Spawns == 0 {
		s.problem("there was no spawn")
	}
	if s.FailedSpawns > 0 {
		s.problem("%d of %d spawns failed, the first: %s", s.FailedSpawns, s.Spawns, s.FirstFailure)
	}
	if highest := max(s.HighestCopy, s.HighestCopyReported); highest > s.Threshold {
		s.problem("%d processes ran one executable, the threshold is %d", highest, s.Threshold)
	}
	if s.OldSpawnsAfter > 0 {
		s.problem("processes that ran the old version although the new one was published: %d", s.OldSpawnsAfter)
	}
}

// write puts the summary out as JSON or as sentences.
func (s *Summary) write(o Options) error {
	if !o.JSON {
		_, err := io.WriteString(o.Out, s.text())
		return err
	}
	document := *s
	if document.Problems == nil {
		document.Problems = []string{} // not null
	}
	encoder := json.NewEncoder(o.Out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}

// text is the summary in aligned sentences.
func (s *Summary) text() string {
	var b strings.Builder
	row := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "  %-10s  %s\n", name, fmt.Sprintf(format, a...))
	}
	fmt.Fprintf(&b, "\nrelinkd demo: %.0f seconds\n", s.Seconds)
	row("spawns", "%d through one path, %d failed", s.Spawns, s.FailedSpawns)
	row("rotations", "%d, over %d copies", s.Rotations, s.Copies)
	row("load", "at most %d processes on one executable, of %d allowed (relinkd counted %d)",
		s.HighestCopy, s.Threshold, s.HighestCopyReported)
	if s.UpgradeMS > 0 {
		row("upgrade", "published after %.1f ms, the first process of the new version after %.1f ms, %d of the old one since",
			s.UpgradeMS, s.FirstNewSpawnMS, s.OldSpawnsAfter)
	}
	if s.DeletionRepairMS > 0 {
		row("deletion", "the link was back after %.1f ms; further spawns, refused while it was deleted: %d",
			s.DeletionRepairMS, s.SpawnsInGap)
	}
	if s.Restored {
		row("restored", "the packaged file is back, inode %d", s.RestoredInode)
	}
	for _, p := range s.Problems {
		row("FAILED", "%s", p)
	}
	return b.String()
}
