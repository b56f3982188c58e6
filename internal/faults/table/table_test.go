package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"relinkd/internal/faults"
)

func entry(test, what string, times int) faults.Entry {
	return faults.Entry{Test: test, Row: faults.Row{What: what, Injected: "a fault", Times: times, Survived: "all"}}
}

// The page of this repository is one that can be read.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := parsePage(page)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(page, rows, rows, nil); err != nil {
		t.Error(err)
	}
}

func TestMerge(t *testing.T) {
	committed := []faults.Entry{entry("TestA", "old", 1), entry("TestB", "stays", 2)}
	recorded, err := parseRecords([]byte(
		`{"Test":"TestC","What":"new","Injected":"a fault","Times":1,"Survived":"all"}
{"Test":"TestA","What":"now","Injected":"a fault","Times":3,"Survived":"all"}
{"Test":"TestA","What":"now","Injected":"a fault","Times":3,"Survived":"all"}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []faults.Entry{entry("TestA", "now", 3), entry("TestB", "stays", 2), entry("TestC", "new", 1)}
	got, err := parsePage(render(merge(committed, recorded)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCheck(t *testing.T) {
	a, b := entry("TestA", "a", 1), entry("TestB", "b", 2)
	log := []byte("=== RUN   TestB\n    --- SKIP: TestB/ext4 (0.00s)\n--- PASS: TestB (0.00s)\n")
	for _, c := range []struct {
		name                string
		committed, recorded []faults.Entry
		log                 []byte
		says                string // of the error; "" for none
	}{
		{"the same", []faults.Entry{a, b}, []faults.Entry{a, b}, nil, ""},
		{"a row is new", []faults.Entry{a}, []faults.Entry{a, b}, nil, "TestB has shown"},
		{"a row is old", []faults.Entry{a, b}, []faults.Entry{a}, nil, "TestB has not shown"},
		{"a number has changed", []faults.Entry{entry("TestA", "a", 2)}, []faults.Entry{a}, nil, "TestA has shown"},
		{"a test was skipped", []faults.Entry{a, b}, []faults.Entry{a}, log, ""},
	} {
		err := check(render(c.committed), c.committed, c.recorded, skippedTests(c.log))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	page := append(render([]faults.Entry{a}), "| by | hand | 1 | x | Test |\n"...)
	rows, err := parsePage(page)
	if err != nil {
		t.Fatal(err)
	}
	if err := check([]byte(strings.Replace(string(page), "Each", "Every", 1)), rows, rows, nil); err == nil {
		t.Error("a page that somebody has edited passes")
	}
}
