// Package config turns relinkd.toml, the environment and the command line's flags into one typed,
// validated Config, or into errors that name file, line, key, what was found and what is allowed.
// It must never change anything, and a Config never changes once Load has returned it.
package config

import "time"

// DefaultFile is where the configuration file stands.
const DefaultFile = "/etc/relinkd/relinkd.toml"

// DefaultSocket is where a daemon listens, and is looked for when the default configuration file cannot be used:
// one may well run on an earlier version of it.
const DefaultSocket = "/run/relinkd/relinkd.sock"

// DefaultStateDir is where the daemon keeps what a later start must know.
const DefaultStateDir = "/var/lib/relinkd"

// Config is everything an administrator can say. Targets are in order of their names.
type Config struct {
	Targets []Target `koanf:"-"`
	Census  Census   `koanf:"census"`
	Control Control  `koanf:"control"`
	Metrics Metrics  `koanf:"metrics"`
	Log     Log      `koanf:"log"`
	State   State    `koanf:"state"`

	Warnings []string `koanf:"-"` // what an administrator should hear of, although all is as it may be
}

// Target returns the target of that name.
func (c *Config) Target(name string) (Target, bool) {
	for _, t := range c.Targets {
		if t.Name == name {
			return t, true
		}
	}
	return Target{}, false
}

// Target is one managed executable.
type Target struct {
	Name      string        `koanf:"-"`          // the table's name: [target.NAME]
	Path      string        `koanf:"path"`       // absolute and clean; "auto" is resolved by Load
	Publish   Publish       `koanf:"publish"`    // what stands at Path
	Copies    int           `koanf:"copies"`     // copies of a new generation, 1 to MaxCopies
	MaxCopies int           `koanf:"max_copies"` // as far as the pool may grow, Copies to 999
	Threshold int           `koanf:"threshold"`  // processes per executable, at least 1
	RotateAt  float64       `koanf:"rotate_at"`  // share of Threshold at which a rotation is due, above 0 up to 1
	KeepFree  Bytes         `koanf:"keep_free"`  // bytes of its file system that the pool leaves free when it grows
	MinDwell  time.Duration `koanf:"min_dwell"`  // least time between two rotations of a saturated pool
	Rotation  Rotation      `koanf:"rotation"`   // how the next copy is chosen
	Interval  time.Duration `koanf:"interval"`   // time between rotations with RotationInterval
	Keep      int           `koanf:"keep"`       // earlier generations that are kept to go back to, 0 to 99
	Settle    Settle        `koanf:"settle"`     // how long a file that is being written must rest
}

// Settle says when a file that was seen being written counts as complete.
type Settle struct {
	Quiet time.Duration `koanf:"quiet"` // without a change
	Max   time.Duration `koanf:"max"`   // after which it is taken even if it is touched again and again
}

// Publish is the way path leads to the copies.
type Publish string

// The ways of publishing.
const (
	PublishSymlink  Publish = "symlink"  // path is a symbolic link to the private link
	PublishLauncher Publish = "launcher" // path is a tiny program that executes the private link
	PublishNone     Publish = "none"     // path keeps the packaged file; cyrus.conf names the private link
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
	EventsNetlink Events = "netlink" // the same, and their lack is an error that the status shows
	EventsOff     Events = "off"     // the census alone
)

// Census is how processes are counted and copies checked, for all targets.
type Census struct {
	Interval time.Duration `koanf:"interval"`
	Events   Events        `koanf:"events"`
	Verify   time.Duration `koanf:"verify"` // between two checks of every copy against its hash
}

// Control is the socket for the command line.
type Control struct {
	Socket string `koanf:"socket"`
	Group  string `koanf:"group"` // may read the status; empty for root alone
}

// Metrics is the listener for metrics and the status page; empty for none.
type Metrics struct {
	Listen string `koanf:"listen"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `koanf:"level"`  // trace, debug, info, warn, error
	Format string `koanf:"format"` // auto, console, journal, json
}

// State is where relinkd remembers hashes and which targets are released.
type State struct {
	Dir string `koanf:"dir"`
}
