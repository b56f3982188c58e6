package watch

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/faults"
)

// capable is what setcap cap_net_bind_service+ep writes: revision 2, effective, bit 10 permitted.
var capable = []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// setcap gives the file that path leads to a capability, or takes it away.
func setcap(t *testing.T, path string, is bool) {
	t.Helper()
	if !is {
		must(t, unix.Removexattr(path, "security.capability"))
		return
	}
	must(t, unix.Setxattr(path, "security.capability", capable, 0))
}

// hasCap reports whether the file that path leads to has the capability.
func hasCap(t *testing.T, path string) bool {
	t.Helper()
	buf := make([]byte, 64)
	n, err := unix.Getxattr(path, "security.capability", buf)
	if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	return err == nil && bytes.Equal(buf[:n], capable)
}

// What is meant for all is applied to all and told; what is not is undone and told.
func TestAttributes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: capabilities")
	}
	for _, set := range []struct {
		name    string
		publish config.Publish
		on      func(s *site) string
		all     bool
	}{
		{"path, which leads to the linked copy", config.PublishSymlink, func(s *site) string { return s.path }, true},
		{"the pristine", config.PublishSymlink, (*site).pristine, true},
		{"another copy", config.PublishSymlink, func(s *site) string { return s.copy(3) }, false},
		{"the launcher at path", config.PublishLauncher, func(s *site) string { return s.path }, true},
		{"the pristine", config.PublishLauncher, (*site).pristine, true},
		{"another copy", config.PublishLauncher, func(s *site) string { return s.copy(3) }, false},
		{"path", config.PublishNone, func(s *site) string { return s.path }, true},
		{"a copy", config.PublishNone, func(s *site) string { return s.copy(1) }, false},
	} {
		t.Run(string(set.publish)+"/"+set.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = set.publish })
			s.install("1")
			d := s.start()
			d.steady("1")
			all := func(is bool) func() bool {
				return func() bool {
					source := s.pristine()
					if set.publish == config.PublishNone {
						source = s.path
					}
					return hasCap(t, source) == is && hasCap(t, s.copy(1)) == is && hasCap(t, s.copy(2)) == is && hasCap(t, s.copy(3)) == is
				}
			}
			before := strings.Count(s.log.String(), `"event":"repair"`)
			setcap(t, set.on(s), true)
			eventually(t, "it is applied to all or undone", all(set.all))
			d.steady("1")
			if strings.Count(s.log.String(), `"event":"repair"`) == before {
				t.Error("it is not told")
			}
			if v, err := d.Verify(t.Context(), name); err != nil || v.Problems() != 0 {
				t.Errorf("verify: %+v, %v", v, err)
			}
			if !set.all || set.publish == config.PublishLauncher && set.on(s) == s.path {
				if set.all && !hasCap(t, s.path) {
					t.Error("the launcher has lost it, so that a tool that sets it finds something to do each time")
				}
			} else {
				setcap(t, set.on(s), false)
				eventually(t, "it is taken from all", all(false))
				d.steady("1")
			}
			faults.Record(t, faults.Row{What: "steady, publish = " + string(set.publish), Injected: "a capability set on " + set.name, Times: 1,
				Survived: map[bool]string{true: "it is applied to all and told", false: "it is undone and told"}[set.all]})
		})
	}
}

// A package whose script sets a capability after the unpack is published when it has done so: by a symbolic
// link before that, setcap would fail.
func TestCapabilityOfAnUpgrade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: capabilities")
	}
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish, c.Settle.Max = publish, 20*time.Second })
			s.install("1")
			setcap(t, s.path, true)
			d := s.start()
			d.steady("1")
			s.install("2")
			d.waitFor("it waits for the capability", func(st api.TargetStatus) bool {
				return st.State == api.Settling && strings.Contains(st.Reason, "setcap")
			})
			setcap(t, s.path, true) // of the file, which is no link of ours yet
			d.steady("2")
			if !hasCap(t, s.copy(1)) || !hasCap(t, s.copy(3)) {
				t.Error("the copies have not the capability of their source")
			}
			s.retarget(func(c *config.Target) { c.Settle.Max = 100 * time.Millisecond })
			_, err := d.Reload(t.Context())
			must(t, err)
			s.install("3") // whose package has no such script
			d.steady("3")
			if !strings.Contains(s.log.String(), "it is taken as it is") {
				t.Error("it is not told that the capability is gone")
			}
			faults.Record(t, faults.Row{What: "upgrade, publish = " + string(publish), Injected: "setcap by the package's script after the unpack", Times: 1,
				Survived: "it is published when the capability is set, and the copies have it"})
		})
	}
}
