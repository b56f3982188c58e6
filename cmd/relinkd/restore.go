package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"relinkd/api"
	"relinkd/control"
)

func (a *app) restoreCmd() *cobra.Command {
	var all, force bool
	cmd := &cobra.Command{
		Use:   "restore TARGET|--all",
		Short: "Put the packaged file back, remove the copies and let the target go",
		Long: `restore puts the packaged file back at the target's path, removes the copies, and
remembers that the target is released: no start takes it over again until manage.
A file that is newer than ours is kept. It works with and without a running daemon.

With publish = "none" the private link is left, leading to the packaged file, because
cyrus.conf names it: restore says what to edit, and --force removes it then.`,
		Example: "  relinkd restore imapd\n  relinkd restore --all",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return usagef(cmd, "%q and --all: name one target, or say --all", args[0])
			case all:
				return nil
			case len(args) == 0:
				return usagef(cmd, "name a target, or say --all")
			}
			return takes("TARGET")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.askOrAct(cmd.Context(), func(svc api.Service) error {
				if all {
					return a.restoreAll(cmd.Context(), svc, force)
				}
				return a.restoreOne(cmd.Context(), svc, args[0], force)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "restore all targets")
	cmd.Flags().BoolVar(&force, "force", false, "remove also a private link that cyrus.conf names")
	return cmd
}

func (a *app) restoreOne(ctx context.Context, svc api.Service, target string, force bool) error {
	r, err := svc.Restore(ctx, target, force)
	if err != nil {
		return err
	}
	a.printReport(r)
	return nil
}

// restoreAll restores whatever can be: one target that fails does not keep the others.
func (a *app) restoreAll(ctx context.Context, svc api.Service, force bool) error {
	st, err := svc.Status(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, t := range st.Targets {
		err := a.restoreOne(ctx, svc, t.Name, force)
		if errors.Is(err, control.ErrNoDaemon) {
			return err // it stopped; whoever acts in its place begins with all of them
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
