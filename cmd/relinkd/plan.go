package main

import (
	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) planCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Tell what relinkd would do now, and change nothing",
		Long: `plan tells for each target what relinkd would do now, step by step, what services and
the disk would notice, and what stays as it is. It does none of it. It exits 3 if there is
something to do. It works with and without a running daemon.`,
		Example: "  relinkd plan\n  relinkd plan --json | jq '.targets[].steps'",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.askOrAct(cmd.Context(), func(svc api.Service) error {
				p, err := svc.Plan(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(a.out, p)
				} else {
					err = a.show(a.screen().Plan(p))
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
