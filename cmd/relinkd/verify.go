package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) verifyCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [TARGET]",
		Short: "Compare each copy with its source",
		Long: `verify reads every copy and compares it with its source, in bytes and in all that
belongs to a file, and exits 3 if a copy differs. It works with and without a running
daemon; a running one leaves such a copy at once and clones it again.`,
		Example: "  relinkd verify\n  relinkd verify imapd --json",
		Args:    takes("[TARGET]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := "" // all
			if len(args) == 1 {
				target = args[0]
			}
			return a.askOrAct(cmd.Context(), func(svc api.Service) error {
				v, err := svc.Verify(cmd.Context(), target)
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(a.out, v)
				} else {
					printVerification(a.out, v)
				}
				if err == nil && v.Problems() > 0 {
					err = errFound
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}

// printVerification prints a line for each copy that differs, and one for the target.
func printVerification(w io.Writer, v *api.Verification) {
	for _, t := range v.Targets {
		equal := 0
		for _, c := range t.Copies {
			if c.Problem == "" {
				equal++
				continue
			}
			fmt.Fprintf(w, "%s: %s: %s\n", t.Target, c.Name, c.Problem)
		}
		if len(t.Copies) == 0 {
			fmt.Fprintf(w, "%s: no copies\n", t.Target)
			continue
		}
		fmt.Fprintf(w, "%s: %d of %d copies equal their source (sha256 %s)\n", t.Target, equal, len(t.Copies), t.SHA256)
	}
}
