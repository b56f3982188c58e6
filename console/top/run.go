package top

import (
	"context"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"relinkd/api"
	"relinkd/console"
)

// Run shows d on the terminal that in and out are, until its user quits or ctx ends; neither is an error.
// A daemon that does not answer at once is one. The terminal is as it was when Run returns.
func Run(ctx context.Context, d Daemon, screen console.Screen, in io.Reader, out io.Writer) error {
	st, err := d.Status(ctx)
	if err != nil {
		return err
	}
	// The colours are given, since to find them out the library may run another program.
	colours := colorprofile.ANSI
	if !screen.Colour {
		colours = colorprofile.ASCII
	}
	p := tea.NewProgram(New(d, screen, st), tea.WithInput(in), tea.WithOutput(out),
		tea.WithColorProfile(colours), tea.WithoutSignalHandler())
	// Not tea.WithContext: the library then closes its input while it still reads from it.
	defer context.AfterFunc(ctx, p.Quit)()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow(ctx, d, func(events []api.Event) { p.Send(eventsMsg(events)) })
	}()
	_, err = p.Run()
	cancel()
	<-done
	return err
}

// follow tells of all events that d keeps and then of each as it happens, also of those of a daemon that
// was started anew, until ctx ends. It tells of some twice.
func follow(ctx context.Context, d Daemon, tell func([]api.Event)) {
	for {
		if events, err := d.Events(ctx, "", 0); err == nil {
			tell(events)
			after := uint64(0)
			if n := len(events); n > 0 {
				after = events[n-1].ID
			}
			// Why it ends does not matter: whether the daemon answers shows with its status.
			_ = d.Follow(ctx, "", after, func(e api.Event) error {
				tell([]api.Event{e})
				return nil
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
	}
}
