package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) completionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the script by which a shell completes relinkd's command line",
		Long: `completion prints a script for a shell. With it, the shell completes verbs, flags and the
names of targets. It is for a relinkd that no package has installed: packages bring the scripts along.`,
		Example: `  relinkd completion bash > /etc/bash_completion.d/relinkd
  relinkd completion zsh > /usr/local/share/zsh/site-functions/_relinkd
  relinkd completion fish > ~/.config/fish/completions/relinkd.fish`,
		Args: takes("SHELL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(a.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(a.out)
			case "fish":
				return a.printFish(cmd.Root())
			}
			return usagef(cmd, "there is no completion for %q, but for bash, zsh and fish", args[0])
		},
	}
}

// printFish leaves out of cobra's script the variable by which it turns hints off: relinkd gives none, and
// refuses a variable that begins like its own and names no key.
func (a *app) printFish(root *cobra.Command) error {
	var b bytes.Buffer
	if err := root.GenFishCompletion(&b, true); err != nil {
		return err
	}
	_, err := a.out.Write(bytes.ReplaceAll(b.Bytes(), []byte("RELINKD_ACTIVE_HELP=0 "), nil))
	return err
}

// offer tells a shell what may stand where the cursor is.
type offer = func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective)

// offerArgs is the offer for the arguments of a verb, which its Use names: `adopt TARGET FILE`.
func (a *app) offerArgs(use string) offer {
	words := strings.Fields(use)[1:]
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(words) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		switch word := strings.Trim(words[len(args)], "[]"); word {
		case "TARGET", "TARGET|--all":
			return a.targetNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
		case "FILE", "FILE|--generation", "HASH":
			return nil, cobra.ShellCompDirectiveDefault
		case "VERB":
			return verbs(cmd.Root()), cobra.ShellCompDirectiveNoFileComp
		default:
			return strings.Split(word, "|"), cobra.ShellCompDirectiveNoFileComp
		}
	}
}

func verbs(root *cobra.Command) []cobra.Completion {
	var all []cobra.Completion
	for _, cmd := range root.Commands() {
		all = append(all, cobra.CompletionWithDesc(cmd.Name(), cmd.Short))
	}
	return all
}

// offerCopies offers the numbers of the copies of the target that is named already.
func (a *app) offerCopies(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var numbers []cobra.Completion
	for _, t := range a.glance(cmd.Context()).Targets {
		if len(args) == 0 || t.Name != args[0] {
			continue
		}
		for _, c := range t.Copies {
			numbers = append(numbers, cobra.CompletionWithDesc(strconv.Itoa(c.Number), fmt.Sprintf("%s, %d processes", c.Name, c.Processes)))
		}
	}
	return numbers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// targetNames is the targets' names as the daemon has them, or else the configuration; none where neither
// can be asked.
func (a *app) targetNames(ctx context.Context) []cobra.Completion {
	var names []cobra.Completion
	for _, t := range a.glance(ctx).Targets {
		names = append(names, cobra.CompletionWithDesc(t.Name, string(t.State)+", "+t.Path))
	}
	if len(names) > 0 {
		return names
	}
	if cfg, err := a.load(); err == nil {
		for _, t := range cfg.Targets {
			names = append(names, cobra.CompletionWithDesc(t.Name, t.Path))
		}
	}
	return names
}

// glanceTimeout is how long somebody waits for what the tab key brings.
const glanceTimeout = time.Second

// glance is the daemon's status; an empty one if it does not answer at once.
func (a *app) glance(ctx context.Context) *api.Status {
	ctx, cancel := context.WithTimeout(ctx, glanceTimeout)
	defer cancel()
	seen := new(api.Status)
	_ = a.askDaemon(func(svc api.Service) error { // without an answer nothing is offered
		st, err := svc.Status(ctx)
		if err == nil {
			seen = st
		}
		return err
	})
	return seen
}
