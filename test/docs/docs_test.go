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
	"debian": {"README.md", "docs/METRICS.md"}, // test/packages, the scenario "documents"
	"demo":   {"README.md"},                    // demo, TestREADME
	"repo":   {"README.md", "CONTRIBUTING.md"},
	"":       {"docs/TUNING.md"}, // doctor, TestTuning: quotations
}

// Each transcript of each document stands where a test tries it.
func TestEveryTranscriptIsTried(t *testing.T) {
	for _, file := range documents(t) {
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
				known = known || filepath.Join(root, document) == file
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

// root is the root of the repository.
const root = "../.."

// documents returns the documents for people.
func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) < 3 {
			t.Fatalf("documents %q, %v", found, err)
		}
		files = append(files, found...)
	}
	return files
}

// Each link of a document to a file of the repository leads to one.
func TestLinks(t *testing.T) {
	links := 0
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^):#\s]+)[^):]*\)`).FindAllStringSubmatch(string(text), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link[1])); err != nil {
				t.Errorf("%s: a link leads nowhere: %v", file, err)
			}
		}
	}
	if links < 10 {
		t.Errorf("%d links: this test looks for the wrong things", links)
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
