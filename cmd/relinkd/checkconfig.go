package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) checkConfigCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Check a configuration and change nothing",
		Long: `check-config reads a configuration as run does, with the environment over the file,
and tells everything that is wrong with it.`,
		Example: "  relinkd check-config\n  relinkd check-config ./relinkd.toml",
		Args:    takes("[FILE]"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.configFile = args[0]
			}
			if _, err := a.load(); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: fine\n", a.configFile)
			return nil
		},
	}
}
