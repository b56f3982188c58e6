package doctor

import (
	"os"
	"slices"

	"relinkd/api"
	"relinkd/config"
)

// Options says what to look at.
type Options struct {
	Version  string
	Host     Host
	Config   *config.Config
	Status   *api.Status // of the daemon; nil when none answers
	NoStatus string      // why none does
	PID      int         // the daemon's; 0 when it is not known

	Left []config.Target // that the state directory knows and Config does not name
}

// Examine looks at the host and at every configured target. What cannot be seen is a finding, never an
// error. It leaves everything as it is; only who may write to a target's directory tries there, by files
// that have no name or that stand in the private directory for a moment (directory.go), what the file
// system can do.
func Examine(o Options) *Report {
	r := &Report{Version: o.Version, Unseen: unseen(os.Geteuid()), Findings: []Finding{}, Shares: []*Share{}}
	daemon := o.gatherDaemon()
	r.add(o.gatherKernel(daemon).judge(), daemon.judge())
	r.add(judgeLeft(o.Left))
	sites := o.Host.gatherSites()
	for _, t := range o.Config.Targets {
		state := o.state(t.Name)
		dir := gatherDirectory(t.Path, string(t.Publish))
		r.add(
			dir.judge(t.Name),
			o.gatherSandbox(t.Path, daemon).judge(t.Name),
			o.Host.gatherSecurity(t.Path, dir).judge(t.Name),
			o.Host.gatherPackages(t.Path).judge(t.Name),
			judgeCyrus(t, sites, dir.PrivateLink),
			judgeCron(t.Name, o.Host.gatherCron(t.Path)),
			dir.judgeCost(t),
			judgeLoad(t, state, daemon.Uptime, reuse(t, sites)),
		)
		share, err := ShareOf(o.Host, t.Path)
		r.add(judgeShare(t.Name, share, err))
		if err == nil {
			r.Shares = append(r.Shares, share)
		}
	}
	return r
}

func (r *Report) add(findings ...[]Finding) {
	r.Findings = append(r.Findings, slices.Concat(findings...)...)
}

// unseen is what the kernel keeps from a user who is not root.
func unseen(uid int) []string {
	if uid == 0 {
		return []string{}
	}
	return []string{"processes of other users", "what the daemon may do", "users' crontabs", "what the file systems can do"}
}

// state is a target's part of the daemon's status, nil when there is none.
func (o Options) state(name string) *api.TargetStatus {
	if o.Status == nil {
		return nil
	}
	for i := range o.Status.Targets {
		if o.Status.Targets[i].Name == name {
			return &o.Status.Targets[i]
		}
	}
	return nil
}

func judgeShare(target string, s *Share, err error) []Finding {
	f := &found{section: Copies, target: target}
	if err != nil {
		f.note("cannot be told: "+err.Error(), "copies divide the executable's mappings, and no others", "")
		return f.all
	}
	f.note(s.measured(), s.divides()+" "+s.figures(), s.here())
	return f.all
}
