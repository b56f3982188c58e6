package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"relinkd/watch"
)

// printStatus writes a Status for people: what is wrong first, then each target with its copies. It
// uses no character that a log or a mail could spoil.
func printStatus(w io.Writer, st *watch.Status) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "relinkd %s, counts processes by %s%s\n", st.Version, st.Accounting, inParens(st.AccountingReason))
	if st.UnreadableProcesses > 0 {
		fmt.Fprintf(&b, "processes that cannot be read: %d, so every count may be too low\n", st.UnreadableProcesses)
	}
	if st.Overflows > 0 {
		fmt.Fprintf(&b, "times that events were lost: %d, each followed by a new count\n", st.Overflows)
	}
	if st.ConfigError != "" {
		fmt.Fprintf(&b, "the configuration in force is an earlier one:\n%s", indented(st.ConfigError))
	}
	if st.LastError != "" {
		fmt.Fprintf(&b, "last error:\n%s", indented(st.LastError))
	}
	for _, t := range st.Targets {
		b.WriteByte('\n')
		renderTarget(&b, &t)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func renderTarget(b *bytes.Buffer, t *watch.TargetStatus) {
	fmt.Fprintf(b, "%s: %s\n%s", t.Name, t.State, indented(t.Reason))
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("path", "%s (publish = %q)", t.Path, t.Publish)
	row("private link", "%s", orNone(t.PrivateLink))
	row("current copy", "%s", orNone(t.Current))
	row("copies", "%d, at most %d%s", len(t.Copies), t.MaxCopies, when(t.Saturated, ": saturated, no copy has room"))
	row("processes", "%d on copies, %d on replaced copies, %d on the packaged file", t.Processes, t.StaleProcesses, t.SourceProcesses)
	row("per copy", "rotates at %d, threshold %d, highest so far %d", t.Mark, t.Threshold, t.PeakCopyProcesses)
	row("new processes", "%.1f a second, seen after %s", t.ExecRate, latency(t.EventLatencySeconds))
	by := t.RotationsByReason
	row("rotations", "%d: %d threshold, %d interval, %d saturated, %d operator",
		t.Rotations, by.Threshold, by.Interval, by.Saturated, by.Operator)
	if g := t.Generation; g.SHA256 == "" {
		row("generation", "none")
	} else {
		row("generation", "%.12s, %d bytes, since %s", g.SHA256, g.Size, g.Since.Format(time.RFC3339))
	}
	if len(t.Copies) == 0 {
		return
	}
	b.WriteByte('\n')
	for _, c := range t.Copies {
		mark := "  "
		if c.Name == t.Current {
			mark = "->"
		}
		fmt.Fprintf(b, "  %s %s %6d |%s|%s\n", mark, c.Name, c.Processes, bar(c.Processes, t.Threshold),
			when(!c.Verified, " not verified"))
	}
}

// barWidth is the length of a bar that stands for the threshold.
const barWidth = 20

// bar is n of limit as a bar. Only 0 shows as empty, and only limit and more as full.
func bar(n, limit int) string {
	full := 0
	switch {
	case n >= limit:
		full = barWidth
	case n > 0:
		full = min(max(1, n*barWidth/limit), barWidth-1)
	}
	return strings.Repeat("#", full) + strings.Repeat(" ", barWidth-full)
}

// latency makes seconds readable.
func latency(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("%.2f ms", seconds*1000)
	}
	return fmt.Sprintf("%.2f s", seconds)
}

// indented is text as lines of their own below a heading; nothing if it is empty.
func indented(text string) string {
	if text == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

func inParens(text string) string { return when(text != "", " ("+text+")") }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func when(cond bool, text string) string {
	if cond {
		return text
	}
	return ""
}
