// Package histogram counts how long things took, by fixed limits, as plain data: observing costs a few
// nanoseconds and no memory, and copying a Histogram is a snapshot of it. It must never know who shows it.
package histogram

import (
	"slices"
	"time"
)

// most is how many limits there may be.
const most = 16

// Limits are the upper limits, in seconds and each included, that durations are counted by, in ascending
// order. They never change.
type Limits struct{ seconds []float64 }

// NewLimits is the limits, at least one and at most 16, in ascending order; anything else panics.
func NewLimits(seconds ...float64) *Limits {
	if len(seconds) == 0 || len(seconds) > most || !slices.IsSorted(seconds) {
		panic("histogram: limits must be 1 to 16, in ascending order")
	}
	return &Limits{seconds}
}

// Histogram is durations, counted by limits. It is a value: a copy does not change any more. It is not safe
// for concurrent use.
type Histogram struct {
	limits *Limits
	counts [most]uint64 // by the first limit that is not exceeded; those beyond the last are in total alone
	total  uint64
	sum    float64 // seconds
}

// New is an empty Histogram.
func New(limits *Limits) Histogram { return Histogram{limits: limits} }

// Observe counts a duration. One below zero, by a clock that was set back, counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	seconds := max(0, d.Seconds())
	if i, _ := slices.BinarySearch(h.limits.seconds, seconds); i < len(h.limits.seconds) {
		h.counts[i]++
	}
	h.total++
	h.sum += seconds
}

// Total is how many durations were counted.
func (h *Histogram) Total() uint64 { return h.total }

// Sum is how long they were together, in seconds.
func (h *Histogram) Sum() float64 { return h.sum }

// Cumulative is, by limit in seconds, how many durations did not exceed it.
func (h *Histogram) Cumulative() map[float64]uint64 {
	upTo := make(map[float64]uint64, most)
	if h.limits == nil {
		return upTo
	}
	var n uint64
	for i, limit := range h.limits.seconds {
		n += h.counts[i]
		upTo[limit] = n
	}
	return upTo
}
