package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"
)

// usage writes what --help shows below the description: of relinkd itself the verbs, in groups, and the
// exit codes.
func usage(cmd *cobra.Command) error {
	var b bytes.Buffer
	if cmd.HasParent() {
		flags := ""
		if cmd.HasAvailableLocalFlags() {
			flags = " [flags]"
		}
		fmt.Fprintf(&b, "Usage:\n  relinkd %s%s\n", cmd.Use, flags)
	} else {
		fmt.Fprintf(&b, "Usage:\n  relinkd VERB [arguments and flags]\n")
	}
	fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	for _, g := range cmd.Groups() {
		fmt.Fprintf(&b, "\n%s\n", g.Title)
		for _, verb := range cmd.Commands() {
			if verb.GroupID == g.ID {
				fmt.Fprintf(&b, "  %-13s %s\n", verb.Name(), verb.Short)
			}
		}
	}
	fmt.Fprintf(&b, "\nFlags:\n%s", cmd.LocalFlags().FlagUsages())
	if cmd.HasParent() {
		fmt.Fprintf(&b, "\nFlags of every verb:\n%s", cmd.InheritedFlags().FlagUsages())
	} else {
		fmt.Fprintf(&b, "\n%s\n`relinkd VERB --help` tells more about a verb, `man relinkd` about everything.\n", exitHelp())
	}
	_, err := cmd.OutOrStderr().Write(b.Bytes())
	return err
}

func helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB]",
		Short:   "Show the help of relinkd or of a verb",
		Example: "  relinkd help\n  relinkd help restore",
		Args:    takes("[VERB]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noVerb(cmd, args)
			}
			return about.Help()
		},
	}
}
