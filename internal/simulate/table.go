package simulate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"relinkd/pool"
)

// adaptive is relinkd's scheme, with its defaults.
func adaptive() Scheme {
	return Scheme{Name: "adaptive", Copies: 60, Policy: pool.Policy{
		Threshold: 200,
		RotateAt:  0.9,
		MaxCopies: 240,
		MinDwell:  time.Second,
		Rotation:  pool.RotationAdaptive,
		Interval:  time.Minute,
	}}
}

// interval is the original scheme: the next of 60 copies every minute.
func interval() Scheme {
	s := adaptive()
	s.Name, s.Policy.Rotation = "interval", pool.RotationInterval
	return s
}

// from is s with so many copies to begin with.
func from(s Scheme, copies int) Scheme {
	s.Name, s.Copies = fmt.Sprintf("%s, copies = %d", s.Name, copies), copies
	return s
}

// withLauncher is s with publish = "launcher".
func withLauncher(s Scheme) Scheme {
	s.Name, s.Launcher = s.Name+", launcher", true
	return s
}

// withoutGrowth is s with no more copies than it begins with.
func withoutGrowth(s Scheme) Scheme {
	s.Name, s.Policy.MaxCopies = fmt.Sprintf("%s, max_copies = %d", s.Name, s.Copies), s.Copies
	return s
}

// withThreshold is s with that many processes allowed on a copy.
func withThreshold(s Scheme, n int) Scheme {
	s.Name, s.Policy.Threshold = fmt.Sprintf("%s, threshold = %d", s.Name, n), n
	return s
}

// Row is a scheme's result on a trace.
type Row struct {
	Trace  string
	Scheme Scheme
	Result Result
}

// Compare plays every trace with both schemes. The same seed gives the same rows.
func Compare(seed uint64) []Row {
	var rows []Row
	for _, t := range Traces(seed) {
		schemes := []Scheme{interval(), adaptive()}
		switch t.Name {
		case "webmail": // more workers than one copy may have, and nothing but rotations divides them
			schemes = append(schemes, withLauncher(interval()), withLauncher(adaptive()), withThreshold(adaptive(), 300))
		case "burst": // beyond what 60 copies can hold
			schemes = append(schemes, withoutGrowth(adaptive()))
		case "growth":
			for i := range schemes {
				schemes[i] = from(schemes[i], 50)
			}
		}
		for _, s := range schemes {
			rows = append(rows, Row{t.Name, s, Run(t, s, seed)})
		}
	}
	return rows
}

// Table is rows in Markdown.
func Table(rows []Row) string {
	var b strings.Builder
	b.WriteString("| trace | scheme | highest on a copy | threshold | over it | copies | rotations | workers retired by them | processes started |\n")
	b.WriteString("|---|---|--:|--:|---|--:|--:|--:|--:|\n")
	for _, r := range rows {
		over := "no"
		if r.Result.Highest > r.Scheme.Policy.Threshold {
			over = "**yes**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.Trace, r.Scheme.Name,
			grouped(r.Result.Highest), grouped(r.Scheme.Policy.Threshold), over, grouped(r.Result.Copies),
			grouped(r.Result.Rotations), grouped(r.Result.Retired), grouped(r.Result.Started))
	}
	return b.String()
}

// grouped is n, which is not negative, with a comma before every three digits.
func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}
