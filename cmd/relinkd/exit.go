package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"relinkd/control"
	"relinkd/watch"
)

// The exit codes, as exitHelp tells them.
const (
	exitFine     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitFound    = 3
	exitNoDaemon = 4
	exitRestart  = 75 // EX_TEMPFAIL; the unit has RestartForceExitStatus=75
)

const exitHelp = `Exit codes:
  0   fine
  1   failed
  2   wrong usage of the command line
  3   a check found something: plan has changes, verify has problems
  4   no relinkd is running
  75  run cannot go on in this process: start it anew`

// errFound makes a verb exit with exitFound. What was found has been printed already.
var errFound = errors.New("the check found something")

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// exitCode is what err becomes.
func exitCode(err error) int {
	switch usage := new(usageError); {
	case err == nil:
		return exitFine
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errFound):
		return exitFound
	case errors.Is(err, control.ErrNoDaemon):
		return exitNoDaemon
	case errors.Is(err, watch.ErrRestart):
		return exitRestart
	}
	return exitFailed
}

// complain prints err, each of its lines marked as relinkd's.
func complain(w io.Writer, err error) {
	if err == nil || errors.Is(err, errFound) {
		return
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "relinkd: %s\n", strings.TrimRight(line, "\n"))
	}
}
