package main

import (
	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) reloadCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration again",
		Long: `reload has the daemon read its configuration again, as SIGHUP does. A configuration
with an error changes nothing.`,
		Example: "  relinkd reload\n  relinkd check-config && relinkd reload",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.askDaemon(a.reported(func(svc api.Service) (*api.Report, error) {
				return svc.Reload(cmd.Context())
			}))
		},
	}
}
