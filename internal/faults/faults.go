// Package faults collects what tests inject and what survives it, so that the table in FAULTS.md is
// written by the tests themselves. It is for tests alone.
package faults

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// Variable names the environment variable that holds the absolute path of the file to which Record
// appends. Without it nothing is written. relinkd itself refuses RELINKD_ variables that it does not know.
const Variable = "FAULTS_RECORDED"

// Row is a line of the table. Its texts must be the same in every run that LONG_TESTS does not
// lengthen, and so must Times: how often the fault is injected at least, which the test must make
// sure of. What a run has really counted belongs in its log.
type Row struct {
	What     string // what was being done: "upgrade"
	Injected string // what went wrong: "kill at each changing call"
	Times    int    // at least
	Survived string // what the test then checks: "path executes, no file is lost"
}

// Record tells the log of a row that the test t has shown, and writes it down for the table. A test
// that has failed has shown nothing. Call it at the end, once for each row.
func Record(t testing.TB, r Row) {
	t.Helper()
	for _, text := range []string{r.What, r.Injected, r.Survived} {
		if text == "" || strings.ContainsAny(text, "|\n") {
			t.Fatalf("%q cannot be a cell of the table", text)
		}
	}
	if r.Times < 1 {
		t.Fatalf("%s, %s: injected %d times", r.What, r.Injected, r.Times)
	}
	if t.Failed() {
		return
	}
	t.Logf("survived: %s; %s, at least %d times: %s", r.What, r.Injected, r.Times, r.Survived)
	path := os.Getenv(Variable)
	if path == "" {
		return
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	line, err := json.Marshal(Entry{Test: test, Row: r})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatalf("cannot record a fault: %v", err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil { // one write: packages may be tested at once
		t.Fatalf("cannot record a fault: %v", err)
	}
}

// Entry is a row as it is written down.
type Entry struct {
	Test string // without its subtests
	Row
}
