package watch

import (
	"context"
	"time"
)

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

// Plan is what Ensure would do now, a target at a time. It changes nothing.
type Plan struct {
	Targets []TargetPlan `json:"targets"`
}

// TargetPlan is one target's part of a Plan.
type TargetPlan struct {
	Target  string   `json:"target"`
	Path    string   `json:"path"`
	State   State    `json:"state"`
	Steps   []string `json:"steps"`   // in order; empty when nothing would change
	Effects []string `json:"effects"` // what services and the disk notice of the steps
	Keeps   []string `json:"keeps"`   // what stays as it is
}

// Changes reports whether anything would change.
func (p *Plan) Changes() bool {
	for _, t := range p.Targets {
		if len(t.Steps) > 0 {
			return true
		}
	}
	return false
}

// Verification is the outcome of checking copies against their source.
type Verification struct {
	Targets []TargetVerification `json:"targets"`
}

// TargetVerification is one target's part of a Verification.
type TargetVerification struct {
	Target string        `json:"target"`
	SHA256 string        `json:"sha256"` // of the source
	Copies []CopyFinding `json:"copies"`
}

// CopyFinding is what was found of one copy; Problem is empty when it equals its source.
type CopyFinding struct {
	Name    string `json:"name"`
	Problem string `json:"problem"`
}

// Problems counts the copies that do not equal their source.
func (v *Verification) Problems() int {
	n := 0
	for _, t := range v.Targets {
		for _, c := range t.Copies {
			if c.Problem != "" {
				n++
			}
		}
	}
	return n
}

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

// Service is what can be asked of relinkd. The daemon answers it over the control socket; without
// a daemon the command line asks a Watcher of its own. Names of targets are those of the
// configuration; an unknown one is an error of kind ErrNoTarget.
type Service interface {
	Status(ctx context.Context) (*Status, error)
	Plan(ctx context.Context) (*Plan, error)
	PlanManage(ctx context.Context, target string) (*TargetPlan, error) // what Manage would do
	Verify(ctx context.Context, target string) (*Verification, error)   // target "" means all

	// Events is what is kept of a target, or of all and the daemon itself for "", since the event with
	// the ID after, in the order of IDs; 0 is for all that is kept, and so is an ID never given.
	Events(ctx context.Context, target string, after uint64) ([]Event, error)
	// Follow calls tell with what Events returns and then with each further event, until ctx ends,
	// which is no error, or tell returns one, which is Follow's too.
	Follow(ctx context.Context, target string, after uint64, tell func(Event) error) error

	Manage(ctx context.Context, target string) (*Report, error)
	Restore(ctx context.Context, target string, force bool) (*Report, error)
	Rotate(ctx context.Context, target string, to int) (*Report, error) // to 0: the policy chooses
	Reclone(ctx context.Context, target string) (*Report, error)
	Adopt(ctx context.Context, target, file string) (*Report, error)
	AdoptGeneration(ctx context.Context, target, hash string) (*Report, error) // hash may be its first digits
	Generations(ctx context.Context, target string) (*Generations, error)      // target "" means all
	Reload(ctx context.Context) (*Report, error)
}
