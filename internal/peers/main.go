// Command peers measures relinkd beside the tools that do parts of its work: pgrep, fuser and lsof,
// cp, and shell loops with ln, inotifywait and a clock. All is measured in one run, in turns, and
// printed as one Markdown table that names the machine and holds every limit of DESIGN.md §11. It
// must never judge by the time of one run alone: it reports, and a limit that is not held is a word
// in the table, not a failure.
//
//	go run ./internal/peers -relinkd ./relinkd
//
// It is run in the root of the source tree. As root it also makes an ext4 with a journal, gives the
// daemon the priority that its unit gives it, and installs the peers that are missing; what cannot
// be measured is in the table with the reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2) // flag has said what is wrong
	case err != nil:
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// errUsage is a command line that cannot be understood.
var errUsage = errors.New("usage")

// command is main without the process around it.
func command(ctx context.Context, args []string, out, progress io.Writer) error {
	o := options{root: ".", install: true, progress: progress}
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&o.relinkd, "relinkd", "./relinkd", "the `program` to measure")
	flags.StringVar(&o.dir, "dir", "/var/tmp", "the `directory` to work in, on the disk to measure")
	flags.BoolVar(&o.quick, "quick", false, "small numbers, to try this program; the figures mean nothing")
	only := flags.String("only", "", "measure only these `rows`, separated by commas: "+strings.Join(names(), ", "))
	file := flags.String("o", "", "write the table to this `file` too")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	if err := o.check(flags.Args()); err != nil {
		return err
	}
	report, err := run(ctx, o)
	if report == nil {
		return err
	}
	text := report.markdown()
	if _, werr := io.WriteString(out, text); werr != nil {
		err = errors.Join(err, fmt.Errorf("cannot write the table: %v", werr))
	}
	if *file != "" {
		if werr := os.WriteFile(*file, []byte(text), 0o644); werr != nil {
			err = errors.Join(err, fmt.Errorf("cannot write the table: %v", werr))
		}
	}
	return err
}

// options is what a run is asked for.
type options struct {
	relinkd  string    // the program to measure
	root     string    // of the source tree
	dir      string    // where the scratch directory is made
	only     []string  // names of measurements; empty for all
	quick    bool      // small numbers
	install  bool      // install peers that are missing, when root
	progress io.Writer // takes what is being done
}

// check completes the options and refuses those that make no sense.
func (o *options) check(rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("there is no argument %q: see -help", rest[0])
	}
	known := strings.Join(names(), ", ")
	for _, name := range o.only {
		if _, found := find(name); !found {
			return fmt.Errorf("there is no row %q, only %s", name, known)
		}
	}
	for _, path := range []*string{&o.relinkd, &o.root, &o.dir} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("cannot find %s: %v", *path, err)
		}
		*path = absolute
	}
	if _, err := os.Stat(o.relinkd); err != nil {
		return fmt.Errorf("there is no program to measure: %v; make it with `make build`", err)
	}
	return nil
}
