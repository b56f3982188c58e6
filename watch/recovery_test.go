package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
	"relinkd/linker"
)

// script is what happens in a daemon of its own process: each event ahead of the next changing call
// of its label, one event after the other.
type script struct {
	Manage bool // an operator manages the target NAME once the daemon is ready
	Events []event
}

// event is what happens ahead of a changing call.
type event struct {
	Op       fsys.Op
	From, To string // somebody renames From to To; without From, removes To; without both, nothing
	Kill     bool   // then the daemon is killed
}

// played is a script in the daemon's process. Without one before is nil, and manage does nothing.
type played struct {
	script
	before func(fsys.Op, string) error
}

func readScript() (*played, error) {
	p := &played{}
	text := os.Getenv(scriptVariable)
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p.script); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	next := p.Events
	p.before = func(op fsys.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if len(next) == 0 || next[0].Op != op {
			return nil
		}
		e := next[0]
		next = next[1:]
		if err := e.change(); err != nil {
			return err
		}
		if e.Kill {
			return killSelf()
		}
		return nil
	}
	return p, nil
}

func (e event) change() error {
	switch {
	case e.From != "":
		return os.Rename(e.From, e.To)
	case e.To != "":
		return os.Remove(e.To)
	}
	return nil
}

// manage is the operator.
func (p *played) manage(ctx context.Context, w *Watcher) {
	if !p.Manage {
		return
	}
	<-w.Ready()
	if _, err := w.Manage(ctx, name); err != nil {
		fmt.Fprintln(os.Stderr, "manage:", err) // the test sees that the daemon is not killed
	}
}

// dies runs a daemon that is killed as its last event says, while do is done.
func (s *site) dies(sc script, do func()) {
	s.t.Helper()
	text, err := json.Marshal(sc)
	must(s.t, err)
	ended := s.process(scriptVariable + "=" + string(text))
	do()
	eventually(s.t, fmt.Sprintf("the daemon is killed: %+v", sc.Events), ended)
}

// arriving makes a version beside path, for somebody to rename to path.
func (s *site) arriving(version string) string {
	s.t.Helper()
	path := s.path + "." + version + ".dpkg-new"
	must(s.t, standin.Write(path, version))
	return path
}

// TestRecoveryTable reaches each row of the recovery table of DESIGN.md §5 by killing a daemon, and
// has the next one start on it. Numbers are those of the rows.
func TestRecoveryTable(t *testing.T) {
	kill := func(op fsys.Op) event { return event{Op: op, Kill: true} }
	rows := []struct {
		name          string
		reach         func(s *site) // from version 1 in force and no daemon
		path, publish linker.Kind   // what is reached
		want          string        // the version in force in the end
		degraded      string        // or why there is none
		gone          bool          // path is missing for a while, by somebody's doing
	}{
		{name: "1 published", path: linker.Ours, publish: linker.Nothing, want: "2", reach: func(s *site) {
			s.dies(script{Events: []event{{Op: "publish: keep pristine"}, kill("manifest: create")}}, func() { s.install("2") })
		}},
		{name: "2 the package manager took an upgrade back before it was published", path: linker.Ours, publish: linker.Ours, want: "1", reach: func(s *site) {
			s.backup(s.path + ".dpkg-tmp")
			s.dies(script{Events: []event{kill("publish: exchange")}}, func() { s.install("2") })
			must(s.t, os.Rename(s.path+".dpkg-tmp", s.path))
		}},
		{name: "2 a hand-made link came out", path: linker.Ours, publish: linker.PoolLink, want: "1", reach: func(s *site) {
			s.dies(script{Events: []event{kill("reclaim: unlink")}}, func() { s.linkTo(2) })
		}},
		{name: "3 exchanged", path: linker.Ours, publish: linker.File, want: "2", reach: func(s *site) {
			s.dies(script{Events: []event{kill("publish: keep previous")}}, func() { s.install("2") })
		}},
		{name: "3 exchanged, no pristine", path: linker.Ours, publish: linker.File, want: "2", reach: func(s *site) {
			s.dies(script{Events: []event{kill("publish: keep pristine")}}, func() { s.install("2") })
		}},
		{name: "4 a newer file hidden", path: linker.Ours, publish: linker.File, want: "3", reach: func(s *site) {
			three := s.arriving("3")
			s.dies(script{Events: []event{{Op: "publish: exchange", From: three, To: s.path}, kill("give back: mark")}}, func() { s.install("2") })
		}},
		{name: "4 a newer file hidden and marked", path: linker.Ours, publish: linker.File, want: "3", reach: func(s *site) {
			three := s.arriving("3")
			s.dies(script{Events: []event{{Op: "publish: exchange", From: three, To: s.path}, kill("give back: exchange")}}, func() { s.install("2") })
		}},
		{name: "5 not yet published", path: linker.File, publish: linker.Ours, want: "2", reach: func(s *site) {
			s.dies(script{Events: []event{kill("publish: exchange")}}, func() { s.install("2") })
		}},
		{name: "5 a newer file given back", path: linker.File, publish: linker.Ours, want: "3", reach: func(s *site) {
			three := s.arriving("3")
			s.dies(script{Events: []event{{Op: "publish: exchange", From: three, To: s.path}, kill("give back: unlink")}}, func() { s.install("2") })
		}},
		{name: "6 a file newer than the hidden one", path: linker.File, publish: linker.File, want: "4", reach: func(s *site) {
			three := s.arriving("3")
			s.dies(script{Events: []event{{Op: "publish: exchange", From: three, To: s.path}, kill("give back: exchange")}}, func() { s.install("2") })
			s.install("4")
		}},
		{name: "6 a file given back, a newer one hidden", path: linker.File, publish: linker.File, want: "4", reach: func(s *site) {
			three, four := s.arriving("3"), s.arriving("4")
			s.dies(script{Events: []event{
				{Op: "publish: exchange", From: three, To: s.path},
				{Op: "give back: exchange", From: four, To: s.path},
				kill("give back: exchange"),
			}}, func() { s.install("2") })
		}},
		{name: "7 gone, our link not back yet", path: linker.Nothing, publish: linker.Ours, want: "1", gone: true, reach: func(s *site) {
			s.dies(script{Events: []event{kill("put back: rename")}}, func() { must(s.t, os.Remove(s.path)) })
		}},
		{name: "7 gone, a newer file hidden", path: linker.Nothing, publish: linker.File, want: "3", gone: true, reach: func(s *site) {
			three := s.arriving("3")
			s.dies(script{Events: []event{{Op: "publish: exchange", From: three, To: s.path}, kill("give back: mark")}}, func() { s.install("2") })
			must(s.t, os.Remove(s.path))
		}},
		{name: "7 gone, with the pristine to fall back on", path: linker.Nothing, publish: linker.Nothing, want: "1", gone: true, reach: func(s *site) {
			s.dies(script{Events: []event{s.killsMaking("put back: symlink")}}, func() { must(s.t, os.Remove(s.path)) })
			for _, path := range []string{s.copy(1), s.copy(2), s.copy(3), s.privateLink()} {
				must(s.t, os.Remove(path))
			}
		}},
		{name: "9 a link elsewhere", path: linker.OtherLink, publish: linker.Nothing, degraded: "which relinkd did not make", reach: func(s *site) {
			s.dies(script{Events: []event{s.killsMaking("put back: symlink")}}, func() { must(s.t, os.Remove(s.path)) })
			command(s.t, "ln", "-sfn", s.file("x"), s.path)
		}},
	}
	for i := range len(rows) * len(waysOurs) {
		row, publish := rows[i/len(waysOurs)], waysOurs[i%len(waysOurs)]
		t.Run(fmt.Sprintf("%s, %s", row.name, publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			d.stop()
			end := func() {}
			if !row.gone && row.degraded == "" {
				end = execLoop(t, s.path)
			}
			row.reach(s)
			s.reached(row.path, row.publish)
			before := tree(t, s.dir)
			d = s.start()
			if row.degraded != "" {
				d.degraded(row.degraded)
				unchanged(t, s.dir, before)
				return
			}
			d.steady(row.want)
			end()
			s.runs(s.path, row.want)
			s.tidy()
		})
	}
	t.Run("8 a hand-made pool", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		s.handmade(2, "1", "1", "1")
		end := execLoop(t, s.path)
		s.reached(linker.PoolLink, linker.Nothing)
		before := tree(t, s.dir)
		d := s.start()
		d.degraded("a hand-made pool")
		unchanged(t, s.dir, before)
		d.stop()
		s.dies(script{Manage: true, Events: []event{kill("reclaim: symlink")}}, func() {})
		s.reached(linker.PoolLink, linker.Nothing)
		d = s.start()
		d.steady("1")
		end()
		s.tidy()
	})
	t.Cleanup(func() {
		faults.Record(t, faults.Row{
			What:     "each row of the recovery table",
			Injected: "kill at the changing call that leads there, path being a symbolic link or a launcher",
			Times:    len(rows)*len(waysOurs) + 1,
			Survived: "the next start brings the newest version in force, or touches nothing that is not its",
		})
	})
}

// killsMaking is a kill ahead of the making of what is to stand at path: at op for a symbolic link.
func (s *site) killsMaking(op fsys.Op) event {
	if s.cfg.Targets[0].Publish == config.PublishLauncher {
		op = "launcher: create"
	}
	return event{Op: op, Kill: true}
}

// reached fails the test unless path and NAME.publish are such.
func (s *site) reached(path, publish linker.Kind) {
	s.t.Helper()
	l, err := linker.Open(s.path, nil)
	must(s.t, err)
	defer l.Close()
	v, err := l.View()
	must(s.t, err)
	if v.Path.Kind != path || v.Publish.Kind != publish {
		s.t.Errorf("path is %s and NAME.publish %s, want %s and %s", v.Path.Kind, v.Publish.Kind, path, publish)
	}
}

// tidy fails the test if anything is left over in the private directory.
func (s *site) tidy() {
	s.t.Helper()
	for _, n := range s.names(filepath.Join(s.dir, linker.PrivateDir)) {
		switch {
		case n == name, n == name+".pristine", n == name+".previous", strings.HasPrefix(n, name+".generation-"):
		default:
			s.t.Errorf("%s is left", s.private(n))
		}
	}
}
