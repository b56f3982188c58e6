package api

import "time"

// Status is the whole state of the daemon at one instant: the document of `relinkd status --json`
// and of GET /v1/status. Counters are since the daemon's start. A Status never changes once it is
// handed out.
type Status struct {
	Version             string         `json:"version"`
	Accounting          string         `json:"accounting"` // "netlink" or "census"
	AccountingReason    string         `json:"accounting_reason"`
	Overflows           int            `json:"overflows"`
	UnreadableProcesses int            `json:"unreadable_processes"`
	ConfigError         string         `json:"config_error"`
	LastError           string         `json:"last_error"`
	LastErrorAt         time.Time      `json:"last_error_at"` // zero for never
	Targets             []TargetStatus `json:"targets"`
}

// State is where a target stands.
type State string

// The states of a target.
const (
	Starting State = "starting" // not looked at yet
	Settling State = "settling" // a new file at path is not complete yet
	Cloning  State = "cloning"  // a new generation is being made
	Steady   State = "steady"   // all copies are of one generation and path leads to them
	Bypassed State = "bypassed" // new processes run the packaged file, not a copy
	Released State = "released" // not managed, by an operator's word
	Absent   State = "absent"   // nothing is installed at path
	Degraded State = "degraded" // something is wrong; the reason says what
)

// States is all of them.
func States() []State {
	return []State{Starting, Settling, Cloning, Steady, Bypassed, Released, Absent, Degraded}
}

// TargetStatus is one target's part of a Status.
type TargetStatus struct {
	Name                string            `json:"name"`
	Path                string            `json:"path"`
	PrivateLink         string            `json:"private_link"`
	Publish             string            `json:"publish"`
	State               State             `json:"state"`
	Reason              string            `json:"reason"`
	AwaitsManage        bool              `json:"awaits_manage"`   // nothing is done until relinkd manage
	Executes            bool              `json:"executes"`        // an ordinary user can execute path, or the private link where path is left alone
	ExecutesReason      string            `json:"executes_reason"` // why not; "" when it executes
	ExecutesTry         string            `json:"executes_try"`    // what may help; "" when that is not known
	Current             string            `json:"current"`         // the copy's file name, "" when there is none
	Threshold           int               `json:"threshold"`
	Mark                int               `json:"mark"`
	MaxCopies           int               `json:"max_copies"`
	GrowableCopies      int               `json:"growable_copies"` // that can still be made: by max_copies, and by the disk
	GrowthReason        string            `json:"growth_reason"`   // why no more can be made than that; "" when max_copies is why
	Saturated           bool              `json:"saturated"`
	Processes           int               `json:"processes"` // on the copies of this generation
	StaleProcesses      int               `json:"stale_processes"`
	SourceProcesses     int               `json:"source_processes"`
	Rotations           int               `json:"rotations"`
	RotationsByReason   RotationsByReason `json:"rotations_by_reason"`
	PeakCopyProcesses   int               `json:"peak_copy_processes"`
	ExecRate            float64           `json:"exec_rate"` // processes a second
	EventLatencySeconds float64           `json:"event_latency_seconds"`
	UnseenProcesses     int               `json:"unseen_processes"`             // that may start before relinkd acts, as the mark allows for
	ThresholdPromised   bool              `json:"threshold_promised"`           // no copy passes the threshold if no more than those start
	ThresholdReason     string            `json:"threshold_reason"`             // why not; "" when it is so
	UnpromisedAt        time.Time         `json:"threshold_last_unpromised_at"` // when that last was so, as far as copies were managed; zero for never
	Generation          Generation        `json:"generation"`
	Copies              []CopyStatus      `json:"copies"`
}

// Unable reports whether the target is to be executed and no ordinary user can.
func (t *TargetStatus) Unable() bool {
	return !t.Executes && t.ExecutesReason != "" && t.State != Absent && t.State != Released
}

// RotationsByReason counts rotations by what asked for them.
type RotationsByReason struct {
	Threshold int `json:"threshold"`
	Interval  int `json:"interval"`
	Saturated int `json:"saturated"`
	Operator  int `json:"operator"`
}

// Generation is the source that all copies were made from. All zero when there is none.
type Generation struct {
	SHA256 string    `json:"sha256"`
	Size   int64     `json:"size"`  // bytes
	Since  time.Time `json:"since"` // when it was published
}

// CopyStatus is one copy's part of a TargetStatus.
type CopyStatus struct {
	Name      string `json:"name"`
	Number    int    `json:"number"`
	Processes int    `json:"processes"`
	Inode     uint64 `json:"inode"`
	Verified  bool   `json:"verified"`
}

// Report is what a verb did.
type Report struct {
	Target   string   `json:"target"`
	Done     []string `json:"done"`     // what was done, a sentence each, in order
	Warnings []string `json:"warnings"` // what the operator must know or do
}

// ShortHash returns the beginning of a generation's hash, by which people know it.
func ShortHash(sha256 string) string { return sha256[:min(len(sha256), 12)] }
