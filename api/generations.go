package api

import "time"

// Generations is what can be gone back to.
type Generations struct {
	Targets []TargetGenerations `json:"targets"`
}

// TargetGenerations is one target's part of Generations.
type TargetGenerations struct {
	Target      string           `json:"target"`
	Path        string           `json:"path"`
	Generations []KeptGeneration `json:"generations"` // the one in force first, then the one that was in force last
}

// KeptGeneration is a source that is in force, or was and is kept.
type KeptGeneration struct {
	SHA256   string    `json:"sha256"`
	Size     int64     `json:"size"`     // bytes
	Modified time.Time `json:"modified"` // of the file, as it was packaged
	InForce  bool      `json:"in_force"`
	File     string    `json:"file"` // where it is kept
}
