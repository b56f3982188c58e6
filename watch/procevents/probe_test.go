package procevents

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProbe compares with what a subscription itself finds, and asks in a network namespace of its own,
// where there is no connector.
func TestProbe(t *testing.T) {
	if os.Getenv("RELINKD_TEST_PROBE") != "" {
		if err := Probe(); err == nil {
			t.Error("process events are to be had in a network namespace of one's own")
		}
		return
	}
	c, wanted := Subscribe(probeBuffer)
	got := Probe()
	if (got == nil) != (wanted == nil) {
		t.Errorf("Probe: %v; a subscription: %v", got, wanted)
	}
	if wanted != nil {
		return
	}
	defer c.Close()
	if err := exec.Command("/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
	if arrived, err := c.Wait(ackWait); err != nil || !arrived {
		t.Errorf("another listener hears nothing any more after a probe (%v)", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: a network namespace without process events")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestProbe$")
	cmd.Env = append(os.Environ(), "RELINKD_TEST_PROBE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
