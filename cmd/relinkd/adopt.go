package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"relinkd/watch"
)

func (a *app) adoptCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt TARGET FILE",
		Short: "Take a file as the target's new source",
		Long: `adopt makes all copies of a target from FILE, as if a package had installed it. It is
for a copy that somebody overwrote and that was meant as an upgrade: relinkd keeps such a
file beside the private link and names it in the log.`,
		Example: "  relinkd adopt imapd /usr/lib/cyrus/bin/.relinkd/imapd_017.drifted",
		Args:    takes("TARGET", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := filepath.Abs(args[1])
			if err != nil {
				return fmt.Errorf("cannot make %s an absolute path: %v", args[1], err)
			}
			return a.askDaemon(a.reported(func(svc watch.Service) (*watch.Report, error) {
				return svc.Adopt(cmd.Context(), args[0], file)
			}))
		},
	}
}
