package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"relinkd/demo"
)

func (a *app) demoCmd() *cobra.Command {
	var seconds int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show relinkd at work, with nothing installed and as any user",
		Long: `demo runs relinkd over a stand-in service in a scratch directory: processes come and
go, the service is upgraded and its link deleted on the way. It ends with a summary, and
removes everything that it made.`,
		Example: "  relinkd demo\n  relinkd demo --seconds 60 --json",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seconds < demo.MinSeconds {
				return usagef(cmd, "--seconds %d: it takes %d at least", seconds, demo.MinSeconds)
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find out where this program is: %v", err)
			}
			_, terminal := terminalWidth(a.out)
			_, err = demo.Run(cmd.Context(), demo.Options{
				Seconds:  seconds,
				JSON:     asJSON,
				Out:      a.out,
				Terminal: terminal,
				Screen:   a.screen(),
				Relinkd:  self,
			})
			return err
		},
	}
	cmd.Flags().IntVar(&seconds, "seconds", 30, "run for `N` seconds")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print nothing but the summary, as a JSON document")
	return cmd
}
