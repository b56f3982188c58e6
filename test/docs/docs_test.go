// Package docs_test holds that no command in the documentation goes untried.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"relinkd/internal/transcript"
)

// tried is what tries the transcripts of each place, and in which documents.
var tried = map[string][]string{
	"debian": {"README.md", "METRICS.md"}, // test/packages, the scenario "documents"
	"demo":   {"README.md"},               // demo, TestREADME
	"repo":   {"README.md", "CONTRIBUTING.md"},
	"":       {"TUNING.md"}, // doctor, TestTuning: quotations
}

// Each transcript of each document stands where a test tries it.
func TestEveryTranscriptIsTried(t *testing.T) {
	files, err := filepath.Glob("../../*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("documents %q, %v", files, err)
	}
	for _, file := range files {
		blocks, err := transcript.Read(file)
		if err != nil {
			t.Error(err)
		}
		for _, b := range blocks {
			if len(b.Steps) == 0 {
				t.Errorf("%s: a transcript without a command", file)
				continue
			}
			known := false
			for _, document := range tried[b.Where] {
				known = known || document == filepath.Base(file)
			}
			if !known {
				t.Errorf("%s:%d: nothing tries a transcript of %q in this document", file, b.Steps[0].Line, b.Where)
			}
			if b.Where == "repo" {
				for _, s := range b.Steps {
					made(t, s)
				}
			}
		}
	}
}

// made checks that a command of a checkout is one that the Makefile has; .ci/run makes all of it.
func made(t *testing.T, s transcript.Step) {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	command, _, _ := strings.Cut(s.Command, "#")
	target, isMake := strings.CutPrefix(strings.TrimSpace(command), "make ")
	if !isMake || !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(target)+`:.*## `).Match(makefile) {
		t.Errorf("%s:%d: %q is none of the Makefile's targets", s.File, s.Line, s.Command)
	}
}
