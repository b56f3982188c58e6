package main

import (
	"github.com/spf13/cobra"

	"relinkd/watch"
)

func (a *app) statusCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the daemon knows",
		Long: `status shows each target: its state, the copy that new processes run, the limits, and
how many processes run each copy. Counters are since the daemon's start.`,
		Example: "  relinkd status\n  relinkd status --json | jq '.targets[].state'",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.askDaemon(func(svc watch.Service) error {
				st, err := svc.Status(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.out, st)
				}
				return printStatus(a.out, st)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}
