// Package config turns relinkd.toml, the environment and the command line's flags into one typed,
// validated Config, or into errors that name file, line, key, what was found and what is allowed.
// It must never change anything, and a Config never changes once Load has returned it.
package config

import "time"

// DefaultFile is where the configuration file stands.
const DefaultFile = "/etc/relinkd/relinkd.toml"

// Config is everything an administrator can say. Targets are in order of their names.
type Config struct {
	Targets []Target
	Census  Census
	Control Control
	Metrics Metrics
	Log     Log
	State   State
}

// Target is one managed executable.
type Target struct {
	Name      string        // the table's name: [target.NAME]
	Path      string        // absolute and clean; "auto" is resolved by Load
	Publish   Publish       // what stands at Path
	Copies    int           // copies of a new generation, 1 to MaxCopies
	MaxCopies int           // as far as the pool may grow, Copies to 999
	Threshold int           // processes per executable, at least 1
	RotateAt  float64       // share of Threshold at which a rotation is due, above 0 up to 1
	MinDwell  time.Duration // least time between two rotations of a saturated pool
	Rotation  Rotation      // how the next copy is chosen
	Interval  time.Duration // time between rotations with RotationInterval
	Settle    Settle        // how long a file that is being written must rest
}

// Settle says when a file that was seen being written counts as complete.
type Settle struct {
	Quiet time.Duration // without a change
	Max   time.Duration // after which it is taken even if it is touched again and again
}

// Publish is the way path leads to the copies.
type Publish string

// The ways of publishing.
const (
	PublishSymlink Publish = "symlink" // path is a symbolic link to the private link
	PublishNone    Publish = "none"    // path keeps the packaged file; cyrus.conf names the private link
)

// Rotation is the policy by which the link moves.
type Rotation string

// The policies.
const (
	RotationAdaptive Rotation = "adaptive" // to the least loaded copy, when the mark is reached
	RotationInterval Rotation = "interval" // to the next number, every Interval
)

// Events says where knowledge of processes comes from.
type Events string

// The sources of knowledge of processes.
const (
	EventsAuto    Events = "auto"    // kernel events where they are to be had, else the census alone
	EventsNetlink Events = "netlink" // kernel events or an error
	EventsOff     Events = "off"     // the census alone
)

// Census is how processes are counted and copies checked, for all targets.
type Census struct {
	Interval time.Duration
	Events   Events
	Verify   time.Duration // between two checks of every copy against its hash
}

// Control is the socket for the command line.
type Control struct {
	Socket string
	Group  string // may read the status; empty for root alone
}

// Metrics is the listener for metrics and the status page; empty for none.
type Metrics struct{ Listen string }

// Log says what is logged and how.
type Log struct {
	Level  string // trace, debug, info, warn, error
	Format string // auto, console, journal, json
}

// State is where relinkd remembers hashes and which targets are released.
type State struct{ Dir string }
