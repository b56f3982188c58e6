package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/doctor"
	"relinkd/internal/hangup"
)

// app is what all verbs share.
type app struct {
	configFile string // --config
	socket     string // --socket; "" leaves it to the configuration
	warned     bool   // what the configuration warns of was told
	in         io.Reader
	out        io.Writer
	errOut     io.Writer
	unsure     func(path string) []string // why it cannot be known whether others may execute copies of path, as doctor.Unsure
}

// run is the whole program: it returns its exit code. The first SIGINT or SIGTERM asks it to stop in
// an orderly way, the second one kills it at once.
func run(args []string, out, errOut io.Writer) int {
	ctx, restore := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore)

	a := &app{in: os.Stdin, out: out, errOut: errOut, unsure: func(path string) []string { return doctor.Unsure(doctor.ThisHost(), path) }}
	root := a.rootCmd()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	complain(errOut, err)
	return exitCode(err)
}

func (a *app) rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "relinkd",
		Short: "Spread the processes of one program over copies of its executable",
		Long: `relinkd keeps identical copies of one executable, lets its name lead to one of
them, and moves on to the least loaded copy before any passes its threshold.`,
		Example: "  relinkd check-config\n  relinkd plan\n  relinkd manage imapd\n  relinkd status",
		Args:    noVerb,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{"say what to do: `relinkd --help` lists the verbs"}
		},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			if cmd.Name() != "run" {
				hangup.Default()
			}
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef(cmd, "%v", err)
	})
	root.PersistentFlags().StringVar(&a.configFile, "config", config.DefaultFile, "read the configuration from `FILE`")
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "use the control socket `PATH`, whatever control.socket says")
	root.PersistentFlags().BoolP("help", "h", false, "show this help")
	root.SetUsageFunc(usage)
	help := helpCmd()
	root.SetHelpCommand(help)
	for _, g := range []struct {
		title string
		verbs []*cobra.Command
	}{
		{"The daemon", []*cobra.Command{a.runCmd(), a.checkConfigCmd(), a.reloadCmd()}},
		{"Look", []*cobra.Command{a.statusCmd(), a.topCmd(), a.eventsCmd(), a.planCmd(), a.verifyCmd(), a.generationsCmd(), a.doctorCmd()}},
		{"Change a target", []*cobra.Command{a.manageCmd(), a.restoreCmd(), a.rotateCmd(), a.recloneCmd(), a.adoptCmd()}},
		{"More", []*cobra.Command{a.demoCmd(), a.manCmd(), a.completionCmd(), a.versionCmd(), help}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, cmd := range g.verbs {
			cmd.GroupID = g.title
			cmd.ValidArgsFunction = a.offerArgs(cmd.Use)
			root.AddCommand(cmd)
		}
	}
	return root
}

// noVerb refuses what stands where a verb should.
func noVerb(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Sprintf("there is no verb %q: `relinkd --help` lists them", args[0])}
	}
	return nil
}

// usagef is an error in the way that cmd was called.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...) + fmt.Sprintf(": see `%s --help`", cmd.CommandPath())}
}

// takes checks the arguments of a verb: the names in order, of which the last ones may be left out if
// they are in brackets.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return usagef(cmd, "%q is one argument too many", args[len(names)])
		}
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return usagef(cmd, "%s is missing", name)
			}
			if i < len(args) && args[i] == "" {
				return usagef(cmd, "%s is empty", strings.Trim(name, "[]"))
			}
		}
		return nil
	}
}
