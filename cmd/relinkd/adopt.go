package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) adoptCmd() *cobra.Command {
	var generation string
	cmd := &cobra.Command{
		Use:   "adopt TARGET FILE|--generation HASH",
		Short: "Take a file as the target's new source",
		Long: `adopt makes all copies of a target from FILE, as if a package had installed it. It is
for a copy that somebody overwrote and that was meant as an upgrade: relinkd keeps such a
file beside the private link and names it in the log. With --generation it goes back to
one of those that relinkd generations lists, by the first digits of its hash. Where it
fails, what was in force stays.`,
		Example: "  relinkd adopt imapd /usr/lib/cyrus/bin/.relinkd/imapd_017.drifted\n  relinkd adopt imapd --generation 267083b062a8",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("generation") {
				if generation == "" {
					return usagef(cmd, "HASH is empty")
				}
				return takes("TARGET")(cmd, args)
			}
			return takes("TARGET", "FILE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if generation != "" {
				return a.askDaemon(a.reported(func(svc api.Service) (*api.Report, error) {
					return svc.AdoptGeneration(cmd.Context(), args[0], generation)
				}))
			}
			file, err := filepath.Abs(args[1])
			if err != nil {
				return fmt.Errorf("cannot make %s an absolute path: %v", args[1], err)
			}
			return a.askDaemon(a.reported(func(svc api.Service) (*api.Report, error) {
				return svc.Adopt(cmd.Context(), args[0], file)
			}))
		},
	}
	cmd.Flags().StringVar(&generation, "generation", "", "an earlier generation, by the first digits of its `HASH`")
	return cmd
}
