package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"relinkd/internal/faults"
)

const heading = `# What was made to go wrong

Each row is written by a test that injects the fault and checks what survives; "times" is how often
at least in one run of the tests. ` + "`make test`" + ` fails when this table and the tests differ. A row is
brought up to date by running its test with FAULTS_RECORDED=/some/file, then
` + "`go run ./internal/faults/table -w /some/file`" + `. With LONG_TESTS=1 the tests inject far more.

| while | goes wrong | times | survives | test |
|---|---|---|---|---|
`

// render is the whole page.
func render(rows []faults.Entry) []byte {
	var b bytes.Buffer
	b.WriteString(heading)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s |\n", r.What, r.Injected, r.Times, r.Survived, r.Test)
	}
	return b.Bytes()
}

// parsePage is render backwards: the rows of a page, none for an empty one.
func parsePage(page []byte) ([]faults.Entry, error) {
	_, table, _ := strings.Cut(string(page), "|---|---|---|---|---|\n")
	var rows []faults.Entry
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 5 {
			return nil, fmt.Errorf("not a row of the table: %q", line)
		}
		times, err := strconv.Atoi(cells[2])
		if err != nil {
			return nil, fmt.Errorf("not a row of the table: %q: %w", line, err)
		}
		rows = append(rows, faults.Entry{Test: cells[4], Row: faults.Row{What: cells[0], Injected: cells[1], Times: times, Survived: cells[3]}})
	}
	return rows, nil
}

// parseRecords is the rows that tests have recorded, in order and each once.
func parseRecords(content []byte) ([]faults.Entry, error) {
	var rows []faults.Entry
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		var e faults.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		rows = append(rows, e)
	}
	return tidy(rows), nil
}

func tidy(rows []faults.Entry) []faults.Entry {
	slices.SortFunc(rows, func(a, b faults.Entry) int {
		return cmp.Or(cmp.Compare(a.Test, b.Test), cmp.Compare(a.What, b.What), cmp.Compare(a.Injected, b.Injected),
			cmp.Compare(a.Survived, b.Survived), cmp.Compare(a.Times, b.Times))
	})
	return slices.Compact(rows)
}

// merge is the table with the rows of the tests that have recorded any replaced by those.
func merge(committed, recorded []faults.Entry) []faults.Entry {
	rows := slices.Clone(recorded)
	for _, c := range committed {
		if !slices.ContainsFunc(recorded, func(r faults.Entry) bool { return r.Test == c.Test }) {
			rows = append(rows, c)
		}
	}
	return tidy(rows)
}

var skip = regexp.MustCompile(`(?m)^ *--- SKIP: ([^/ ]+)`)

// skippedTests is the tests of which all or a part was skipped.
func skippedTests(log []byte) map[string]bool {
	skipped := map[string]bool{}
	for _, match := range skip.FindAllSubmatch(log, -1) {
		skipped[string(match[1])] = true
	}
	return skipped
}

// check compares the page with what was recorded.
func check(page []byte, committed, recorded []faults.Entry, skipped map[string]bool) error {
	var wrong []error
	if !bytes.Equal(page, render(tidy(slices.Clone(committed)))) {
		wrong = append(wrong, errors.New("the page is not as it is written"))
	}
	for _, r := range recorded {
		if !slices.Contains(committed, r) {
			wrong = append(wrong, fmt.Errorf("%s has shown what the table does not say: %+v", r.Test, r.Row))
		}
	}
	for _, c := range committed {
		if !slices.Contains(recorded, c) && !skipped[c.Test] {
			wrong = append(wrong, fmt.Errorf("%s has not shown what the table says: %+v", c.Test, c.Row))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%s is out of date:\n%w", file, errors.Join(wrong...))
}
