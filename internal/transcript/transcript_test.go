package transcript

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(t *testing.T, text string) ([]Block, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks, err := Read(file)
	for i := range blocks {
		for j := range blocks[i].Steps {
			blocks[i].Steps[j].File = ""
		}
	}
	return blocks, err
}

func TestRead(t *testing.T) {
	got, err := read(t, strings.Join([]string{
		"# Title", "```text", "# not a command", "```",
		"```console host", "# one \\", "  two", "first", "…", "$ three", "```",
		"```console repo", "$ make", "```",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Where: "host", Steps: []Step{
			{Line: 6, Command: "one two", Output: []string{"first", "…"}},
			{Line: 10, Command: "three"},
		}},
		{Where: "repo", Steps: []Step{{Line: 13, Command: "make"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no language":       "```\n$ make\n```",
		"an unknown one":    "```sh\nmake\n```",
		"no command":        "```console repo\nmade\n```",
		"no end":            "```console repo\n$ make\n",
		"no end of a text":  "```text\n",
		"an output, first ": "```console repo\n…\n$ make\n```",
	} {
		if _, err := read(t, text); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		shown, got string
		same       bool
	}{
		{"", "", true},
		{"a", "a\n", true},
		{"a", "b\n", false},
		{"a", "a\nb\n", false},
		{"a\nb", "a\n", false},
		{"a\n…", "a\n", true},
		{"a\n…", "a\nb\nc\n", true},
		{"…\nc", "a\nb\nc\n", true},
		{"…\nc", "a\nb\n", false},
		{"a\n…\nc\n…\ne", "a\nb\nc\nd\nc\ne\n", true},
		{"made 60 copies in 0.08 s", "made 3 copies in 1,200.5 s\n", true},
		{"made 60 copies", "made no copies\n", false},
		{"since 2026-01-02T03:04:05Z", "since 2026-11-25T22:10:57+01:00\n", true},
		{"generation 3f2a5c1be0d9", "generation 0123456789ab\n", true},
		{"imapd_001    12 |####  |", "imapd_017 3 |##        |\n", true},
		{"latency 0.10 ms", "latency 1.2 s\n", true},
	} {
		var shown []string
		if c.shown != "" {
			shown = strings.Split(c.shown, "\n")
		}
		s := &Step{File: "x.md", Line: 1, Command: "x", Output: shown}
		if err := s.Compare(c.got); (err == nil) != c.same {
			t.Errorf("%q and %q: %v", c.shown, c.got, err)
		}
	}
}
