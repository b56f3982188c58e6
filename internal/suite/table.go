package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// How much of a run the table tells.
const (
	slowestTests    = 20
	slowestPackages = 20
)

// report prints where the time went: the stages, the packages and the slowest tests, in seconds. Packages run
// beside each other, and so do some tests: their sums are more than the stages took.
func (s *suite) report(w io.Writer) {
	var packages, tests []entry
	for _, run := range []struct {
		results []result
		suffix  string
	}{{s.results, ""}, {s.ordinary, " (ordinary user)"}} {
		for _, r := range run.results {
			packages = append(packages, entry{r.took, r.pkg + run.suffix})
			for _, t := range r.tests {
				if !strings.Contains(t.name, "/") {
					tests = append(tests, entry{t.took, r.pkg + " " + t.name + run.suffix})
				}
			}
		}
	}
	total := time.Duration(0)
	var stages []entry
	for _, st := range s.took {
		stages = append(stages, entry{st.took, st.name})
		total += st.took
	}
	fmt.Fprintf(w, "\nseconds  stage\n")
	list(w, append(stages, entry{total, "all"}))
	if len(packages) > 0 {
		fmt.Fprintf(w, "\nseconds  package\n")
		list(w, slowest(packages, slowestPackages))
		fmt.Fprintf(w, "\nseconds  test\n")
		list(w, slowest(tests, slowestTests))
	}
}

// entry is a line of the table.
type entry struct {
	took time.Duration
	name string
}

// slowest are the n that took longest, the longest first.
func slowest(all []entry, n int) []entry {
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(b.took, a.took) })
	return all[:min(n, len(all))]
}

func list(w io.Writer, entries []entry) {
	for _, e := range entries {
		fmt.Fprintf(w, "%7.1f  %s\n", e.took.Seconds(), e.name)
	}
}
