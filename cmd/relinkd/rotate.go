package main

import (
	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) rotateCmd() *cobra.Command {
	var to int
	cmd := &cobra.Command{
		Use:     "rotate TARGET",
		Short:   "Let new processes run another copy, now",
		Long:    `rotate moves on to the least loaded copy, or to the one that --to names.`,
		Example: "  relinkd rotate imapd\n  relinkd rotate imapd --to 17",
		Args:    takes("TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("to") && to < 1 {
				return usagef(cmd, "--to %d: copies count from 1", to)
			}
			return a.askDaemon(a.reported(func(svc api.Service) (*api.Report, error) {
				return svc.Rotate(cmd.Context(), args[0], to)
			}))
		},
	}
	cmd.Flags().IntVar(&to, "to", 0, "number `N` of the copy")
	if err := cmd.RegisterFlagCompletionFunc("to", a.offerCopies); err != nil {
		panic(err) // the flag is there
	}
	return cmd
}
