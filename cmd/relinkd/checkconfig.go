package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"relinkd/config"
	"relinkd/doctor"
)

func (a *app) checkConfigCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config [FILE]",
		Short: "Check a configuration and change nothing",
		Long: `check-config reads a configuration as run does, with the environment over the file,
and tells everything that is wrong with it. Where relinkd.service would keep the daemon
from writing to a directory that the configuration needs, it prints the drop-in that
opens it.`,
		Example: "  relinkd check-config\n  relinkd check-config ./relinkd.toml",
		Args:    takes("[FILE]"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.configFile = args[0]
			}
			cfg, err := a.loadOnce()
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: fine\n", a.configFile)
			if text := doctor.ThisHost().DropIn(written(cfg)...); text != "" {
				file, then := config.DropIn(config.Unit, config.DropInPaths)
				fmt.Fprintf(a.out, "%s may not write everywhere where it has to. Put this into %s, then: %s\n\n%s", config.Unit, file, then, text)
			}
			return nil
		},
	}
}

// written are the directories that the daemon writes to.
func written(cfg *config.Config) []string {
	var dirs []string
	for _, t := range cfg.Targets {
		dirs = append(dirs, filepath.Dir(t.Path))
	}
	return append(dirs, cfg.State.Dir, filepath.Dir(cfg.Control.Socket))
}
