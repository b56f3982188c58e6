package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// series is what the rounds of one measurement gave, in their order.
type series []float64

func (s *series) add(v float64)           { *s = append(*s, v) }
func (s *series) addTime(d time.Duration) { *s = append(*s, d.Seconds()) }

// quantile is the value below which the share q lies; 0 of an empty series.
func (s series) quantile(q float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// median of an even number of values is the mean of the two in the middle.
func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func (s series) max() float64 { return s.quantile(1) }
func (s series) min() float64 { return s.quantile(0) }

// histogram shows how many values lie below or at each limit and above the one before it; limits rise.
func (s series) histogram(unit string, limits ...float64) string {
	var parts []string
	show := func(what string, n int) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s: %d", what, unit, n))
		}
	}
	sorted := slices.Sorted(slices.Values(s))
	below := 0
	for _, limit := range limits {
		end, _ := slices.BinarySearchFunc(sorted, limit, func(v, limit float64) int {
			if v <= limit {
				return -1
			}
			return 1
		})
		show(fmt.Sprintf("≤ %g", limit), end-below)
		below = end
	}
	if len(limits) > 0 {
		show(fmt.Sprintf("> %g", limits[len(limits)-1]), len(sorted)-below)
	}
	return strings.Join(parts, ", ")
}

// over is s divided by t, round by round, so that what disturbed a round disturbed both.
func (s series) over(t series) series {
	var ratios series
	for i := range min(len(s), len(t)) {
		ratios.add(s[i] / t[i])
	}
	return ratios
}

// duration shows seconds.
func duration(seconds float64) string {
	if seconds >= 10 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	return significant(seconds*1e3) + " ms"
}

// significant shows three digits, and never a power of ten.
func significant(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1 || v <= -1 || v == 0:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// times shows a ratio.
func times(v float64) string { return significant(v) + " ×" }

// mebibytes shows bytes.
func mebibytes(bytes float64) string { return significant(bytes/(1<<20)) + " MiB" }
