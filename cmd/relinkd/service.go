package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"relinkd/api"
	"relinkd/config"
	"relinkd/control"
	"relinkd/watch"
)

// load reads the configuration from the file, the environment and --socket.
func (a *app) load() (*config.Config, error) {
	flags := pflag.NewFlagSet("relinkd", pflag.ContinueOnError)
	flags.String("control.socket", "", "")
	if a.socket != "" {
		socket, err := filepath.Abs(a.socket)
		if err != nil {
			return nil, fmt.Errorf("cannot make %s an absolute path: %v", a.socket, err)
		}
		if err := flags.Set("control.socket", socket); err != nil {
			return nil, err
		}
	}
	return config.Load(config.Options{File: a.configFile, Env: os.Environ(), Flags: flags})
}

// loadOnce is load for a verb, which warns of what it finds the first time.
func (a *app) loadOnce() (*config.Config, error) {
	cfg, err := a.load()
	if err == nil && !a.warned {
		a.warned = true
		for _, warning := range cfg.Warnings {
			fmt.Fprintf(a.errOut, "relinkd: warning: %s\n", warning)
		}
	}
	return cfg, err
}

// askDaemon runs act with the running daemon. Without one it returns control.ErrNoDaemon, or what is
// wrong with the configuration, if that is why the socket is not known.
func (a *app) askDaemon(act func(api.Service) error) error {
	if a.socket != "" {
		return act(control.NewClient(a.socket))
	}
	cfg, err := a.loadOnce()
	if err == nil {
		return act(control.NewClient(cfg.Control.Socket))
	}
	if a.configFile != config.DefaultFile {
		return err // the daemon at the default socket is another one's
	}
	if asked := act(control.NewClient(config.DefaultSocket)); !errors.Is(asked, control.ErrNoDaemon) {
		return asked
	}
	return err
}

// askOrAct runs act with the running daemon or, without one, with a Watcher of this process's own,
// under the lock that keeps a daemon out. act must not have done anything when it returns
// control.ErrNoDaemon: it is then called a second time.
func (a *app) askOrAct(ctx context.Context, act func(api.Service) error) error {
	err := a.askDaemon(act)
	if !errors.Is(err, control.ErrNoDaemon) {
		return err
	}
	cfg, err := a.loadOnce()
	if err != nil {
		return err
	}
	log, err := newLogger(cfg.Log, a.errOut)
	if err != nil {
		return err
	}
	w, err := watch.New(cfg, watch.Options{
		Version: buildVersion(),
		Log:     log.Level(max(log.GetLevel(), zerolog.WarnLevel)), // the verb prints what was done
		Load:    a.load,
	})
	if errors.Is(err, watch.ErrLocked) {
		return fmt.Errorf("%v; but nobody answers on the socket %s: wait for it to start or to stop, "+
			"or name its socket with --socket", err, cfg.Control.Socket)
	}
	if err != nil {
		return err
	}
	err = act(w)
	if err != nil && ctx.Err() != nil && !errors.As(err, new(*notConfirmed)) {
		err = fmt.Errorf("gave up before it was done: %w", context.Cause(ctx))
	}
	return errors.Join(err, w.Close())
}
