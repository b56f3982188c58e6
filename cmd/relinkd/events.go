package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"relinkd/api"
)

func (a *app) eventsCmd() *cobra.Command {
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:   "events [TARGET]",
		Short: "Show what has happened",
		Long: `events shows what has happened since the daemon's start, to one target or to all and the
daemon itself: a line each, with its time, target and kind. The last 1,000 rotations of each
target are kept, and as many events of other kinds. Where there are more than ten rotations
in ten seconds, further ones are summed up in one line.

With --follow it goes on with each event as it happens, until it is interrupted; when the
daemon stops it exits 4.`,
		Example: "  relinkd events\n  relinkd events imapd --follow\n  relinkd events --json | jq 'select(.kind == \"upgrade\")'",
		Args:    takes("[TARGET]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := "" // all
			if len(args) == 1 {
				target = args[0]
			}
			return a.askDaemon(func(svc api.Service) error {
				if follow {
					return svc.Follow(cmd.Context(), target, 0, func(e api.Event) error { return a.showEvent(e, asJSON) })
				}
				events, err := svc.Events(cmd.Context(), target, 0)
				for _, e := range events {
					if err := a.showEvent(e, asJSON); err != nil {
						return err
					}
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document a line")
	return cmd
}

// showEvent prints one event.
func (a *app) showEvent(e api.Event, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.out).Encode(e)
	}
	target, screen := e.Target, a.screen()
	if target == "" {
		target = "-"
	}
	return a.show(fmt.Sprintf("%s  %-8s  %-8s  %s\n", e.Time.Local().Format(time.DateTime), screen.Clean(target), e.Kind, screen.Clean(e.Message)))
}
