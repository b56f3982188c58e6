package main

import (
	"context"
	"fmt"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// manager tells systemd how far the daemon is; without systemd nobody is told. A message that does
// not get through is logged: systemd's own timeout is what acts on it.
type manager struct{ log zerolog.Logger }

func (m manager) ready()    { m.tell(daemon.SdNotifyReady) }
func (m manager) stopping() { m.tell(daemon.SdNotifyStopping) }

// reloading must be followed by ready. Type=notify-reload wants the time of it (sd_notify(3)).
func (m manager) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		m.log.Warn().Err(err).Msg("cannot read the monotonic clock")
		return
	}
	m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

func (m manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn().Err(err).Msg("cannot notify the service manager")
	}
}

// follow is the task that tells when the daemon is ready and when it stops.
func (m manager) follow(ctx context.Context, ready <-chan struct{}) {
	select {
	case <-ready:
		m.ready()
		<-ctx.Done()
	case <-ctx.Done():
	}
	m.stopping()
}
