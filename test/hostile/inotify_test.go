// Package hostile_test runs the program as it is shipped in surroundings that a process cannot make for
// itself alone.
package hostile_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/internal/faults"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// deadline is how long anything that is waited for may take, on a busy machine.
const deadline = 30 * time.Second

// limits are what a user may have of inotify, which a user namespace may lower for itself.
var limits = map[string]string{
	"max_inotify_instances": "fs.inotify.max_user_instances",
	"max_inotify_watches":   "cannot watch",
}

// Without inotify relinkd finds an upgrade by looking, says what is lacking, and listens again when it
// may.
func TestInotifyLimitReached(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: in another user's namespace root's directories are nobody's, and relinkd trusts none of them")
	}
	for knob, says := range limits {
		t.Run(knob, func(t *testing.T) {
			dir := fstest.Passable(t, t.TempDir())
			binary, path, config := filepath.Join(dir, "relinkd"), filepath.Join(dir, "bin", "imapd"), filepath.Join(dir, "relinkd.toml")
			if out, err := exec.Command("go", "build", "-o", binary, "relinkd/cmd/relinkd").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, d := range []string{dir, filepath.Dir(path)} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			text := fmt.Sprintf("[target.imapd]\npath = %q\ncopies = 3\nmax_copies = 3\nsettle = { quiet = \"50ms\", max = \"2s\" }\n[control]\nsocket = %q\n[state]\ndir = %q\n",
				path, filepath.Join(dir, "s"), filepath.Join(dir, "state"))
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			install := func(version string) {
				t.Helper()
				if err := standin.Write(path, version); err != nil {
					t.Fatal(err)
				}
			}
			install("1")

			lower := fmt.Sprintf(`echo 0 >/proc/sys/user/%s && exec "$0" run --config "$1"`, knob)
			daemon := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", lower, binary, config)
			var log strings.Builder
			daemon.Stderr = &log
			if out, err := exec.Command("unshare", "--user", "--map-root-user", "true").CombinedOutput(); err != nil {
				t.Skipf("left out, an inotify limit: no user namespaces here: %s", out)
			}
			if err := daemon.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = daemon.Process.Kill() // it may have ended
				_ = daemon.Wait()
				if t.Failed() {
					t.Logf("log:\n%s", log.String())
				}
			})
			wait := func(what string, cond func(api.TargetStatus) bool) api.TargetStatus {
				t.Helper()
				var st api.Status
				for end := time.Now().Add(deadline); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
					out, err := exec.Command(binary, "status", "--json", "--config", config).Output()
					if err == nil && json.Unmarshal(out, &st) == nil && len(st.Targets) == 1 && cond(st.Targets[0]) {
						return st.Targets[0]
					}
				}
				t.Fatalf("waited %s in vain: %s; the status is %+v", deadline, what, st)
				return api.TargetStatus{}
			}
			first := wait("steady, and the reason tells", func(st api.TargetStatus) bool {
				return st.State == api.Steady && strings.Contains(st.Reason, says)
			})
			install("2")
			wait("the upgrade is found by looking", func(st api.TargetStatus) bool {
				return st.State == api.Steady && st.Generation.SHA256 != first.Generation.SHA256
			})
			raise := exec.Command("nsenter", "--user", "--preserve-credentials", "--target", fmt.Sprint(daemon.Process.Pid),
				"sh", "-c", "echo 100 >/proc/sys/user/"+knob)
			if out, err := raise.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			wait("it listens again", func(st api.TargetStatus) bool { return st.State == api.Steady && st.Reason == "" })
			faults.Record(t, faults.Row{What: "steady", Injected: "no inotify to be had: user." + knob + " is 0", Times: 1,
				Survived: "an upgrade is found by looking, the status says what is lacking, events are heard again when they may be"})
		})
	}
}
