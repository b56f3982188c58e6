package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"relinkd/api"
	"relinkd/console/top"
)

func (a *app) topCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "top",
		Short: "Show the copies of a target live, and rotate by a key",
		Long: `top shows how full each copy of a target is, how many processes begin and how often it
rotates, and what happens, until you press q. The key ? tells the others. It looks once a
second, and says so when the daemon does not answer. It needs a terminal; who may only read
the status may see everything, and cannot rotate.`,
		Example: "  relinkd top",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, out := terminalWidth(a.out)
			_, in := terminalWidth(os.Stdin)
			if !in || !out || os.Getenv("TERM") == "dumb" {
				return errors.New("top needs a terminal that can move its cursor: `relinkd status` and `relinkd events` need none")
			}
			return a.askDaemon(func(svc api.Service) error {
				return top.Run(cmd.Context(), svc, a.screen(), os.Stdin, a.out)
			})
		},
	}
}
