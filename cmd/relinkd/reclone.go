package main

import (
	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) recloneCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "reclone TARGET",
		Short: "Make all copies again from their source",
		Long: `reclone makes all copies of a target again and puts them in place of the old ones at
once. After an upgrade, or when a copy was changed, relinkd does that by itself.`,
		Example: "  relinkd reclone imapd",
		Args:    takes("TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.askDaemon(a.reported(func(svc api.Service) (*api.Report, error) {
				return svc.Reclone(cmd.Context(), args[0])
			}))
		},
	}
}
