package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"relinkd/watch"
)

func (a *app) planCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Tell what relinkd would do now, and change nothing",
		Long: `plan tells what relinkd would do now, step by step, and does none of it. It exits 3 if
there is something to do. It works with and without a running daemon.`,
		Example: "  relinkd plan",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.askOrAct(cmd.Context(), func(svc watch.Service) error {
				p, err := svc.Plan(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(a.out, p)
				} else {
					printPlan(a.out, p)
				}
				if err == nil && p.Changes() {
					err = errFound
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}

// printPlan prints a line for each step, and one for a target without any.
func printPlan(w io.Writer, p *watch.Plan) {
	for _, t := range p.Targets {
		for _, step := range t.Steps {
			fmt.Fprintf(w, "%s: %s\n", t.Target, step)
		}
		if len(t.Steps) == 0 {
			fmt.Fprintf(w, "%s: nothing to do (%s)\n", t.Target, t.State)
		}
	}
}
