package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"relinkd/control"
	"relinkd/internal/manual"
	"relinkd/watch"
)

// The exit codes.
const (
	exitFine     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitFound    = 3
	exitNoDaemon = 4
	exitRestart  = 75 // EX_TEMPFAIL; the unit has RestartForceExitStatus=75
)

// exits is the one table of exit codes, for the help and the manual.
func exits() []manual.Exit {
	return []manual.Exit{
		{Code: exitFine, Meaning: "fine"},
		{Code: exitFailed, Meaning: "failed"},
		{Code: exitUsage, Meaning: "wrong usage of the command line"},
		{Code: exitFound, Meaning: "a check found something: plan has changes, verify has problems, doctor has something to do, status tells of what does not execute"},
		{Code: exitNoDaemon, Meaning: "no relinkd is running"},
		{Code: exitRestart, Meaning: "run cannot go on in this process: start it anew"},
	}
}

func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, e := range exits() {
		fmt.Fprintf(&b, "  %-3d %s\n", e.Code, e.Meaning)
	}
	return b.String()
}

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
	case errors.Is(err, control.ErrNoDaemon), errors.Is(err, control.ErrEnded):
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
