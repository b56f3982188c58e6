package packages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scriptRun is a maintainer script called in one way, and what it must do where systemd runs.
type scriptRun struct {
	script, args string
	exit         int
	calls        []string
}

const (
	restoreAll = "relinkd restore --all"
	reload     = "systemctl --system daemon-reload"
	isActive   = "systemctl is-active relinkd.service"
)

// enabling is what postinst says to deb-systemd-helper each time.
var enabling = []string{
	"deb-systemd-helper unmask relinkd.service",
	"deb-systemd-helper --quiet was-enabled relinkd.service",
	"deb-systemd-helper enable relinkd.service",
}

func then(first []string, more ...string) []string {
	return append(append([]string{}, first...), more...)
}

// Every way in which dpkg and rpm call the scripts (Debian's policy, 6.5; rpm's scriptlets), as well as
// ones that they never should.
var scriptRuns = []scriptRun{
	{"deb/postinst", "configure ''", 0, then([]string{restoreAll}, then(enabling, reload, "deb-systemd-invoke start relinkd.service")...)},
	{"deb/postinst", "configure 1.0.0-1", 0, then(enabling, reload, isActive, "deb-systemd-invoke restart relinkd.service")},
	{"deb/postinst", "abort-upgrade 1.0.1-1", 0, then(enabling, reload, "deb-systemd-invoke start relinkd.service")},
	{"deb/postinst", "abort-remove", 0, then(enabling, reload, "deb-systemd-invoke start relinkd.service")},
	{"deb/postinst", "abort-remove in-favour other 1", 0, then(enabling, reload, "deb-systemd-invoke start relinkd.service")},
	{"deb/postinst", "abort-deconfigure in-favour other 1 removing more 2", 0, then(enabling, reload, "deb-systemd-invoke start relinkd.service")},
	{"deb/postinst", "nonsense", 1, nil},
	{"deb/postinst", "", 1, nil},

	{"deb/prerm", "remove", 0, []string{"deb-systemd-invoke stop relinkd.service", restoreAll}},
	{"deb/prerm", "remove in-favour other 1", 0, []string{"deb-systemd-invoke stop relinkd.service", restoreAll}},
	{"deb/prerm", "upgrade 1.0.1-1", 0, nil},
	{"deb/prerm", "failed-upgrade 1.0.0-1 1.0.1-1", 0, nil},
	{"deb/prerm", "deconfigure in-favour other 1", 0, nil},
	{"deb/prerm", "nonsense", 1, nil},
	{"deb/prerm", "", 1, nil},

	{"deb/postrm", "remove", 0, []string{reload}},
	{"deb/postrm", "disappear other 1", 0, []string{reload}},
	{"deb/postrm", "purge", 0, []string{"deb-systemd-helper purge relinkd.service"}},
	{"deb/postrm", "upgrade 1.0.1-1", 0, nil},
	{"deb/postrm", "failed-upgrade 1.0.0-1 1.0.1-1", 0, nil},
	{"deb/postrm", "abort-install", 0, nil},
	{"deb/postrm", "abort-install 1.0.0-1 1.0.1-1", 0, nil},
	{"deb/postrm", "abort-upgrade 1.0.0-1 1.0.1-1", 0, nil},
	{"deb/postrm", "nonsense", 1, nil},
	{"deb/postrm", "", 1, nil},

	{"rpm/post", "1", 0, []string{restoreAll, "systemctl --no-reload preset relinkd.service", "systemctl --quiet is-enabled relinkd.service",
		"systemctl daemon-reload", "systemctl start relinkd.service"}},
	{"rpm/post", "2", 0, nil},
	{"rpm/preun", "1", 0, nil},
	{"rpm/preun", "0", 0, []string{"systemctl --no-reload disable --now relinkd.service", restoreAll}},
	{"rpm/postun", "1", 0, []string{"systemctl daemon-reload", "systemctl try-restart relinkd.service"}},
	{"rpm/postun", "0", 0, []string{"systemctl daemon-reload"}},
}

// Each script, as dpkg and rpm call it, does the same under dash and bash: where systemd runs, where it does
// not, and where there is none.
func TestMaintainerScripts(t *testing.T) {
	asRoot(t, "run the scripts in a root of their own, since they remove what relinkd keeps")
	root := smallRoot(t)
	if _, err := command(patience, "cp", "-r", "../../packaging/scripts", root); err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"dash", "bash"} {
		for _, where := range []string{"systemd runs", "systemd does not run", "there is no systemd"} {
			t.Run(shell+", "+where, func(t *testing.T) {
				for _, name := range []string{"relinkd", "deb-systemd-helper", "deb-systemd-invoke"} {
					stub(t, root, name, "exit 0")
				}
				stub(t, root, "systemctl", `[ "$1" != is-active ] || echo active`)
				running := filepath.Join(root, "run/systemd/system")
				if err := os.MkdirAll(running, 0o755); err != nil {
					t.Fatal(err)
				}
				if where != "systemd runs" {
					os.RemoveAll(running)
				}
				if where == "there is no systemd" {
					for _, name := range []string{"systemctl", "deb-systemd-helper", "deb-systemd-invoke"} {
						os.Remove(filepath.Join(root, "usr/bin", name))
					}
				}
				for _, run := range scriptRuns {
					out, exit := inRoot(t, root, fmt.Sprintf("exec %s /scripts/%s %s", shell, run.script, run.args))
					got, want := calls(t, root), allowed(run.calls, where)
					if diff := cmp.Diff(want, got); diff != "" || exit != run.exit {
						t.Errorf("%s %s: exit code %d, want %d; calls (-want +got):\n%s\n%s", run.script, run.args, exit, run.exit, diff, out)
					}
					if strings.Contains(out, "not found") || (run.exit != 0) != strings.Contains(out, "does not know") {
						t.Errorf("%s %s prints %q", run.script, run.args, out)
					}
				}
			})
		}
	}
}

// allowed are the calls that are left where there is less of systemd. In a tree that is not booted units are
// enabled, and nothing is started.
func allowed(calls []string, where string) []string {
	left := []string{}
	for _, call := range calls {
		fields := strings.Fields(call)
		state := fields[0] == "deb-systemd-helper" || strings.Contains(call, "preset") || strings.Contains(call, "is-enabled") || strings.Contains(call, "disable")
		switch {
		case where == "there is no systemd" && fields[0] != "relinkd",
			where == "systemd does not run" && fields[0] != "relinkd" && !state:
		case where == "systemd does not run":
			left = append(left, strings.Replace(call, "disable --now", "disable", 1))
		default:
			left = append(left, call)
		}
	}
	return left
}

// What a script does about relinkd's own refusals, and about what was there before.
func TestMaintainerScriptsRefuse(t *testing.T) {
	asRoot(t, "run the scripts in a root of their own")
	root := smallRoot(t)
	if _, err := command(patience, "cp", "-r", "../../packaging/scripts", root); err != nil {
		t.Fatal(err)
	}
	stub(t, root, "relinkd", "echo 'relinkd: what is wrong' >&2; exit 1")
	for _, shell := range []string{"dash", "bash"} {
		for _, run := range []string{"deb/postinst configure ''", "deb/prerm remove", "rpm/post 1", "rpm/preun 0"} {
			out, exit := inRoot(t, root, shell+" /scripts/"+run)
			if exit != 1 || !strings.Contains(out, "what is wrong") || !strings.Contains(out, "mend what stands above") {
				t.Errorf("%s %s: exit code %d\n%s", shell, run, exit, out)
			}
		}
	}
	calls(t, root)
	// After a removal it is started again; one that an administrator has stopped is not, at an upgrade.
	stub(t, root, "relinkd", "exit 0")
	stub(t, root, "deb-systemd-invoke", "exit 0")
	stub(t, root, "systemctl", `[ "$1" != is-active ] || echo inactive`)
	for _, dir := range []string{"run/systemd/system", "var/lib/relinkd"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, before := range []string{"true", "/scripts/deb/prerm remove", "true"} {
		if out, exit := inRoot(t, root, before); exit != 0 {
			t.Fatalf("%s: exit code %d\n%s", before, exit, out)
		}
		calls(t, root)
		if out, exit := inRoot(t, root, "/scripts/deb/postinst configure 1.0.0-1"); exit != 0 {
			t.Errorf("exit code %d\n%s", exit, out)
		}
		if got := slices.Contains(calls(t, root), "deb-systemd-invoke start relinkd.service"); got != (before != "true") {
			t.Errorf("after %q it is started: %v", before, got)
		}
	}
	if err := os.RemoveAll(filepath.Join(root, "run/systemd")); err != nil {
		t.Fatal(err)
	}
	// A first installation over a relinkd that manages something leaves that alone.
	if err := os.MkdirAll(filepath.Join(root, "var/lib/relinkd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/relinkd/imapd.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{"deb/postinst configure ''", "rpm/post 1"} {
		if out, exit := inRoot(t, root, "/scripts/"+run); exit != 0 || out != "" || slices.Contains(calls(t, root), restoreAll) {
			t.Errorf("%s beside a manifest: exit code %d\n%s", run, exit, out)
		}
	}
}
