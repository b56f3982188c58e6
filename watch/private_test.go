package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
)

// Of two daemons with a state directory each, the second touches nothing, says whom to ask, and goes on when
// the first has gone.
func TestTwoStateDirectories(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			s := newSite(t, func(t *config.Target) { t.Publish = publish })
			s.install("1")
			first := s.start()
			first.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
			before := s.identities()

			s.configure(func(c *config.Config) { c.State.Dir = filepath.Join(t.TempDir(), "state") })
			second := s.start()
			st := second.waitFor("degraded", func(st api.TargetStatus) bool { return st.State == api.Degraded })
			if !strings.Contains(st.Reason, fmt.Sprintf("process %d holds %s", os.Getpid(), filepath.Dir(s.privateLink()))) {
				t.Errorf("the reason is %q", st.Reason)
			}
			if _, err := second.Restore(context.Background(), name, true); err == nil || !strings.Contains(err.Error(), ErrLocked.Error()) {
				t.Errorf("restore: %v, want %v", err, ErrLocked)
			}
			if _, err := second.Manage(context.Background(), name); !errors.Is(err, api.ErrRefused) {
				t.Errorf("manage: %v, want %v", err, api.ErrRefused)
			}
			if got := s.identities(); fmt.Sprint(got) != fmt.Sprint(before) {
				t.Errorf("changed: %v, were %v", got, before)
			}
			first.stop()
			if _, err := second.Manage(context.Background(), name); err != nil && !errors.Is(err, api.ErrRefused) {
				t.Error(err)
			}
			s.install("2")
			second.waitFor("steady with the next version", func(st api.TargetStatus) bool {
				return st.State == api.Steady && st.Generation.SHA256 == sha("2")
			})
		})
	}
}

// Two targets that come to one path while relinkd runs are told of it.
func TestTwoTargetsOfOnePath(t *testing.T) {
	s := newSite(t)
	elsewhere := filepath.Join(t.TempDir(), "bin")
	s.configure(func(c *config.Config) {
		c.Targets = append(c.Targets, s.target("other", func(t *config.Target) { t.Path = filepath.Join(elsewhere, name) }))
	})
	s.install("1")
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	must(t, os.Symlink(s.dir, elsewhere))
	d.waitForTarget("other", "degraded by the first", func(st api.TargetStatus) bool {
		return st.State == api.Degraded && strings.Contains(st.Reason, "another target of this configuration")
	})
	if st := d.target(); st.State != api.Steady {
		t.Errorf("the first is %s: %s", st.State, st.Reason)
	}
}

// The locks end with the Watcher, also while a process that is just being started has descriptors of them: it has
// them until it has executed its program.
func TestLocksEndWithClose(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	fds := []int{int(d.locked.Fd())}
	d.privates.mu.Lock()
	for _, dir := range d.privates.held {
		fds = append(fds, dir.fd)
	}
	d.privates.mu.Unlock()
	if len(fds) != 2 {
		t.Fatalf("%d locks are held", len(fds))
	}
	for _, fd := range fds {
		further, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(further)
	}
	d.stop()
	s.start().steady("1")
}
