package api

import (
	"time"

	"relinkd/api/histogram"
)

// Snapshot is a Status and what goes with it for those who watch relinkd over time. Counters are since
// the daemon's start, or since the target was last added to the configuration. A Snapshot never changes once
// it is handed out.
type Snapshot struct {
	Status
	Counting       Counting
	Reloads        Reloads
	ConfigLoadedAt time.Time  // when the configuration in force was read
	Measures       []Measures // one for each of Targets, in their order
}

// Counting is how the counting of processes goes.
type Counting struct {
	Processes     int                 // all that the last census saw, kernel threads included
	Subscriptions int                 // how often listening to the kernel's process events has begun
	Durations     histogram.Histogram // of all complete censuses
}

// Reloads counts reloads of the configuration by what came of them.
type Reloads struct{ Succeeded, Failed int }

// Measures is what one target has counted and timed.
type Measures struct {
	Grown       int       // copies that were added to a full pool
	Errors      int       // things that went wrong
	LastErrorAt time.Time // zero for never

	RotationLatency histogram.Histogram // from an event that asked for a rotation to the moved link; only with process events
	Rotation        histogram.Histogram // moving the private link, whatever asked for it
	CloneGeneration histogram.Histogram // making the copies of a generation durable beside those in force
	CloneGrowth     histogram.Histogram // the same of one more copy of the generation in force
	Upgrade         histogram.Histogram // from a complete new source to copies of it in force
}
