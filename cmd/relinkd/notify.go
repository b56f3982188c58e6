package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
)

// statusEvery is how often systemd's status line is brought up to date when there is no watchdog.
const statusEvery = 10 * time.Second

// manager tells systemd how far the daemon is; without systemd nobody is told. A message that does
// not get through is logged: systemd's own timeout is what acts on it.
type manager struct {
	log  zerolog.Logger
	said *string // the last status line
}

func newManager(log zerolog.Logger) manager { return manager{log, new(string)} }

func (m manager) ready()    { m.tell(daemon.SdNotifyReady) }
func (m manager) stopping() { m.tell(daemon.SdNotifyStopping) }
func (m manager) alive()    { m.tell(daemon.SdNotifyWatchdog) }

// reloading must be followed by ready. Type=notify-reload wants the time of it (sd_notify(3)).
func (m manager) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		m.log.Warn().Err(err).Msg("cannot read the monotonic clock")
		return
	}
	m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// says is the status line, which systemctl status shows. It is for follow alone.
func (m manager) says(line string) {
	line = strings.Join(strings.Fields(line), " ")
	if line == *m.said {
		return
	}
	*m.said = line
	m.tell("STATUS=" + line)
}

func (m manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn().Err(err).Msg("cannot notify the service manager")
	}
}

// work is what the manager is told of.
type work interface {
	Ready() <-chan struct{}
	Answer(context.Context) error
	Status(context.Context) (*api.Status, error)
}

// follow is the task that tells when the daemon is ready, how it stands, that it works, and when it stops.
// The watchdog is fed only when all loops have answered: when one hangs, systemd ends the daemon.
func (m manager) follow(ctx context.Context, w work) {
	defer m.stopping()
	m.says("looking at what stands, and counting processes for the first time")
	select {
	case <-ctx.Done():
		return
	case <-w.Ready():
	}
	m.line(ctx, w)
	m.ready()
	watched, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn().Err(err).Msg("the watchdog is not fed")
	}
	every := statusEvery
	if watched > 0 {
		every = min(every, watched/3)
	}
	beat := time.NewTicker(every)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		if m.hears(ctx, w, every) && watched > 0 {
			m.alive()
		}
	}
}

// hears reports whether all loops have answered within limit, and says so.
func (m manager) hears(ctx context.Context, w work, limit time.Duration) bool {
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	if err := w.Answer(limited); err != nil {
		if ctx.Err() == nil {
			m.says(err.Error())
			m.log.Error().Err(err).Msg("something hangs")
		}
		return false
	}
	m.line(ctx, w)
	return true
}

// line says how the targets stand.
func (m manager) line(ctx context.Context, w work) {
	st, err := w.Status(ctx)
	if err != nil {
		return // a Watcher's never fails
	}
	m.says(statusLine(st))
}

// statusLine is st in one line: the targets that are well by numbers, the others by their reasons.
func statusLine(st *api.Status) string {
	var all []string
	if st.ConfigError != "" {
		all = append(all, "the configuration has a mistake, an earlier one is in force")
	}
	for _, t := range st.Targets {
		if t.State == api.Steady {
			all = append(all, fmt.Sprintf("%s: %d processes on %d copies, %s is current", t.Name, t.Processes, len(t.Copies), t.Current))
			continue
		}
		text := fmt.Sprintf("%s: %s", t.Name, t.State)
		if t.Reason != "" {
			text += ", " + t.Reason
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
