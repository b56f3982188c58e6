package main

import (
	"context"

	"github.com/spf13/cobra"

	"relinkd/control"
	"relinkd/doctor"
	"relinkd/watch"
)

func (a *app) doctorCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this host allows relinkd, and what copies can do here",
		Long: `doctor looks at the kernel, the daemon's privileges and sandbox, the security modules, the
package manager, Cyrus and its cyrus.conf, crontabs, disks and load, and says of each thing
what it found, why it matters and what to do. It counts how many of a process's mappings
belong to the executable: those are what copies divide. It changes nothing, works with and
without a running daemon, and exits 3 if something needs doing. Root sees more than others.`,
		Example: "  relinkd doctor\n  relinkd doctor --json | jq '.findings[] | select(.level == \"needs doing\")'",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := a.examined(cmd.Context())
			if err != nil {
				return err
			}
			r := doctor.Examine(o)
			if asJSON {
				err = printJSON(a.out, r)
			} else {
				err = a.show(r.Text(a.screen()))
			}
			if err == nil && r.Count(doctor.Needs) > 0 {
				err = errFound
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}

// examined is this host, the configuration, and what the daemon says if one answers.
func (a *app) examined(ctx context.Context) (doctor.Options, error) {
	cfg, err := a.loadOnce()
	if err != nil {
		return doctor.Options{}, err
	}
	o := doctor.Options{Version: buildVersion(), Host: doctor.ThisHost(), Config: cfg}
	o.Left, _ = watch.Left(cfg) // an ordinary user cannot read it
	client := control.NewClient(cfg.Control.Socket)
	if o.Status, err = client.Status(ctx); err != nil {
		o.NoStatus = err.Error()
		return o, nil
	}
	o.PID, _ = client.DaemonPID(ctx) // 0 when it cannot be told, which shows
	return o, nil
}
