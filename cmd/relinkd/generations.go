package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) generationsCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "generations [TARGET]",
		Short: "List what a target can go back to",
		Long: `generations lists the executable in force and those that were in force before it and are
kept, as many as "keep" in the configuration says: their hash, size, time and where they are.
adopt TARGET --generation HASH puts one in force again. It works with and without a running
daemon, and changes nothing.`,
		Example: "  relinkd generations\n  relinkd generations imapd --json",
		Args:    takes("[TARGET]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := "" // all
			if len(args) == 1 {
				target = args[0]
			}
			return a.askOrAct(cmd.Context(), func(svc api.Service) error {
				g, err := svc.Generations(cmd.Context(), target)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.out, g)
				}
				printGenerations(a.out, g)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}

// printGenerations prints a line for each generation.
func printGenerations(w io.Writer, g *api.Generations) {
	for _, t := range g.Targets {
		if len(t.Generations) == 0 {
			fmt.Fprintf(w, "%s: nothing is in force, and nothing is kept\n", t.Target)
			continue
		}
		for _, k := range t.Generations {
			what := "kept"
			if k.InForce {
				what = "in force"
			}
			fmt.Fprintf(w, "%s: %s  %-8s  %s  %d bytes  %s\n", t.Target, api.ShortHash(k.SHA256), what, k.Modified.Format(time.DateTime), k.Size, k.File)
		}
	}
}
