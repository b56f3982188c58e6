package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) statusCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the daemon knows",
		Long: `status tells in its first line whether all is well, then what is wrong and what to do
about it, and then of each target: where its link leads, its processes and its room, when and
why it last rotated and was upgraded, and how full each copy is.

A bar stands for the threshold. The current copy has an arrow. With very many copies each of
them is one character. It fits the width of the terminal, or COLUMNS where there is none, and
uses colours on a terminal unless NO_COLOR is set. Counters are since the daemon's start.

It exits 3 if an ordinary user cannot execute what services do: path or, with publish = "none",
the private link.`,
		Example: "  relinkd status\n  relinkd status --json | jq '.targets[].state'",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.askDaemon(func(svc api.Service) error {
				st, err := svc.Status(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return errors.Join(printJSON(a.out, st), unable(st))
				}
				events, err := svc.Events(cmd.Context(), "", 0)
				if err != nil { // what is there now is worth showing without
					fmt.Fprintf(a.errOut, "relinkd: warning: what happened before is not known: %v\n", err)
				}
				return errors.Join(a.show(a.screen().Status(st, events)), unable(st))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}

// unable is errFound where a target is to be executed and no ordinary user can.
func unable(st *api.Status) error {
	for _, t := range st.Targets {
		if t.Unable() {
			return errFound
		}
	}
	return nil
}
