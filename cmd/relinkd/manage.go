package main

import (
	"github.com/spf13/cobra"

	"relinkd/watch"
)

func (a *app) manageCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "manage TARGET",
		Short: "Take a target over, or again after restore",
		Long: `manage takes a target over: one that restore has released, or one whose path leads
to copies that somebody made by hand. It says what it does. It works with and without a
running daemon.`,
		Example: "  relinkd manage imapd",
		Args:    takes("TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.askOrAct(cmd.Context(), a.reported(func(svc watch.Service) (*watch.Report, error) {
				return svc.Manage(cmd.Context(), args[0])
			}))
		},
	}
}
