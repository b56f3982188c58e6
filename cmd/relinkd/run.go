package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"relinkd/api"
	"relinkd/config"
	"relinkd/control"
	"relinkd/internal/hangup"
	"relinkd/watch"
)

func (a *app) runCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon, in the foreground",
		Long: `run manages every configured target that is not released, until SIGTERM or SIGINT: it
then stops and leaves a working link. A second signal kills it at once, which leaves a
working link too. SIGHUP has it read its configuration again.`,
		Example: "  relinkd run\n  relinkd run --config ./relinkd.toml --socket ./relinkd.sock",
		Args:    takes(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDaemon(cmd.Context()) },
	}
}

// runDaemon starts the parts of the daemon and returns when ctx has ended or one of them has failed,
// and all have stopped.
func (a *app) runDaemon(ctx context.Context) (err error) {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	log, err := newLogger(cfg.Log, a.errOut)
	if err != nil {
		return err
	}
	var web *control.Web
	w, err := watch.New(cfg, watch.Options{
		Version: buildVersion(), Log: log, Load: a.load,
		Apply: func(c *config.Config) error { return web.Listen(c.Metrics.Listen) },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	web = control.NewWeb(w, log)
	ln, err := control.Listen(cfg.Control.Socket, cfg.Control.Group)
	if err != nil {
		return err
	}
	log.Info().Str("version", buildVersion()).Str("socket", cfg.Control.Socket).Msg("relinkd starts")
	for _, warning := range cfg.Warnings {
		log.Warn().Msg(warning)
	}
	if err := web.Listen(cfg.Metrics.Listen); err != nil { // not worth leaving the link to itself
		w.Trouble(err)
	}

	systemd := newManager(log)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.Run(ctx) })
	g.Go(func() error { return control.NewServer(w, log).Serve(ctx, ln) })
	g.Go(func() error { return web.Run(ctx) })
	g.Go(func() error { systemd.follow(ctx, w); return nil })
	g.Go(func() error { reloadOn(ctx, hangup.Caught(), w, systemd); return nil })
	err = g.Wait()
	log.Info().AnErr("error", err).Msg("relinkd stops")
	return err
}

// reloadOn is the task that reloads the configuration at each signal. One that fails changes nothing,
// and shows in the status.
func reloadOn(ctx context.Context, hup <-chan os.Signal, svc api.Service, systemd manager) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		systemd.reloading()
		_, _ = svc.Reload(ctx) // it tells the log itself
		systemd.ready()
	}
}
