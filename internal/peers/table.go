package main

import (
	"fmt"
	"strings"
)

// row is one line of the table. What does not apply is empty.
type row struct {
	what    string
	relinkd string // the figure
	peer    string // who does the same, and its figure
	ratio   string
	limit   string
	met     string // yes, no, or why there is no figure
}

// report is what a run prints.
type report struct {
	facts []string // of the machine
	rows  []row
}

// markdown is the whole report.
func (r *report) markdown() string {
	var b strings.Builder
	for _, fact := range r.facts {
		fmt.Fprintf(&b, "- %s\n", fact)
	}
	b.WriteString("\n| what | relinkd | beside | ratio | limit | met |\n|---|---|---|---|---|---|\n")
	for _, row := range r.rows {
		b.WriteString("|")
		for _, cell := range []string{row.what, row.relinkd, row.peer, row.ratio, row.limit, row.met} {
			if cell = clean(cell); cell == "" {
				cell = "–"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// clean makes a text fit in a cell.
func clean(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// verdict is the last column of a row with a limit.
func verdict(held bool) string {
	if held {
		return "yes"
	}
	return "**no**"
}
