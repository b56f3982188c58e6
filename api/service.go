package api

import (
	"context"
	"errors"
)

// The kinds of errors that a Service returns, which callers tell apart with errors.Is.
var (
	ErrNoTarget = errors.New("no such target") // the configuration does not name it
	ErrRefused  = errors.New("refused")        // not possible as things stand
)

// Service is what can be asked of relinkd. The daemon answers it over the control socket; without
// a daemon the command line asks a watcher of its own. Names of targets are those of the
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
