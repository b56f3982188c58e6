package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"relinkd/internal/standin"
)

// rpmContents are the files of the .rpm as rpm lists them, in the order of the package.
var rpmContents = []string{
	"drwxr-xr-x root root /etc/relinkd",
	"-rw-r--r-- root root /etc/relinkd/relinkd.toml",
	"-rw-r--r-- root root /usr/lib/systemd/system/relinkd.service",
	"-rwxr-xr-x root root /usr/sbin/relinkd",
	"-rw-r--r-- root root /usr/share/bash-completion/completions/relinkd",
	"drwxr-xr-x root root /usr/share/doc/relinkd",
	"drwxr-xr-x root root /usr/share/doc/relinkd/examples",
	"-rw-r--r-- root root /usr/share/doc/relinkd/examples/metrics-tcp.conf",
	"-rw-r--r-- root root /usr/share/doc/relinkd/examples/relinkd-alerts.yml",
	"-rw-r--r-- root root /usr/share/doc/relinkd/examples/relinkd-dashboard.json",
	"-rw-r--r-- root root /usr/share/fish/vendor_completions.d/relinkd.fish",
	"drwxr-xr-x root root /usr/share/licenses/relinkd",
	"-rw-r--r-- root root /usr/share/licenses/relinkd/copyright",
	"-rw-r--r-- root root /usr/share/man/man5/relinkd.toml.5.gz",
	"-rw-r--r-- root root /usr/share/man/man8/relinkd.8.gz",
	"-rw-r--r-- root root /usr/share/zsh/site-functions/_relinkd",
}

// fedoraBin is where Fedora and RHEL install Cyrus.
const fedoraBin = "/usr/libexec/cyrus-imapd"

// rpmRoot is a root of its own with rpm's database.
type rpmRoot struct {
	t   *testing.T
	dir string
}

// rpm runs rpm on the root and returns what it printed and whether it succeeded.
func (r rpmRoot) rpm(args ...string) (string, bool) {
	r.t.Helper()
	args = append(args, "--root", r.dir, "--dbpath", "/var/lib/rpm")
	if args[0] == "-i" || args[0] == "-U" {
		args = append(args, "--force-debian") // else it warns that Debian has another package manager
	}
	out, err := command(2*time.Minute, "rpm", args...)
	return out, err == nil
}

func (r rpmRoot) must(args ...string) string {
	r.t.Helper()
	out, ok := r.rpm(args...)
	if !ok {
		r.t.Fatalf("rpm %s:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// sh runs a script that is to end with 0.
func (r rpmRoot) sh(script string) string {
	r.t.Helper()
	out, code := inRoot(r.t, r.dir, script)
	if code != 0 {
		r.t.Fatalf("%s: exit code %d\n%s", script, code, out)
	}
	return strings.TrimSpace(out)
}

// left are the files with relinkd's name, or of its making.
func (r rpmRoot) left() string {
	r.t.Helper()
	out, err := command(time.Minute, "find", r.dir, "-xdev", "(", "-name", "*relinkd*", "-o", "-name", "imapd?*", ")", "-printf", "/%P\n")
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// The .rpm is installed, upgraded and erased by rpm, whose scriptlets run for real in a root of its own.
func TestRPM(t *testing.T) {
	asRoot(t, "install the .rpm into a root of its own")
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Skip("needs rpm (tools/setup installs it for root)")
	}
	first, second := packageFor(t, older, "rpm", "x86_64"), packageFor(t, newer, "rpm", "x86_64")
	for _, systemd := range []bool{false, true} {
		name := map[bool]string{false: "no systemd", true: "systemd runs"}[systemd]
		t.Run(name, func(t *testing.T) {
			r := rpmRoot{t, smallRoot(t)}
			if err := standin.Write(filepath.Join(r.dir, fedoraBin, "imapd"), "1"); err != nil {
				t.Fatal(err)
			}
			if systemd {
				stub(t, r.dir, "systemctl", `[ "$2" != is-enabled ]`)
				if err := os.MkdirAll(filepath.Join(r.dir, "run/systemd/system"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			r.must("--initdb")
			r.lives(first, second, systemd)
		})
	}
}

// lives is all that happens to the package between its installation and the time when it is erased.
func (r rpmRoot) lives(first, second string, systemd bool) {
	t := r.t
	const path = fedoraBin + "/imapd"
	inode := func(name string) uint64 { return inodeOf(t, filepath.Join(r.dir, name)) }
	packaged := inode(path)

	out := r.must("-i", "--nodeps", first)
	begin := "relinkd manages nothing yet. To begin: relinkd manage imapd"
	if systemd { // whose presets leave it disabled
		begin = "relinkd manages nothing yet. To begin: systemctl enable --now relinkd && relinkd manage imapd"
	}
	if !strings.Contains(out, begin) {
		t.Errorf("the installation does not say how to begin:\n%s", out)
	}
	if diff := cmp.Diff(rpmContents, r.listed()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if out, ok := r.rpm("-V", "--nodeps", "relinkd"); !ok || out != "" {
		t.Errorf("rpm -V: %s", out)
	}
	if out := r.sh("relinkd plan"); !strings.Contains(out, "nothing to do (released)") || inode(path) != packaged {
		t.Errorf("after the installation: %s", out)
	}

	r.sh("relinkd manage imapd --yes && " + path)
	if out := r.sh("relinkd verify imapd"); !strings.Contains(out, "60 of 60 copies equal their source") {
		t.Errorf("relinkd verify: %s", out)
	}
	link, copied := inode(fedoraBin+"/.relinkd/imapd"), inode(path+"_001")
	if _, err := command(time.Minute, "sh", "-c", "echo '# mine' >>"+filepath.Join(r.dir, "etc/relinkd/relinkd.toml")); err != nil {
		t.Fatal(err)
	}
	calls(t, r.dir)
	if out := r.must("-U", "--nodeps", second); out != "" {
		t.Errorf("the upgrade says %q", out)
	}
	if got := calls(t, r.dir); systemd != (len(got) == 2 && got[1] == "systemctl try-restart relinkd.service") {
		t.Errorf("at the upgrade: %q", got)
	}
	if now := inode(fedoraBin + "/.relinkd/imapd"); now != link || inode(path+"_001") != copied {
		t.Error("the upgrade touched the link or the copies")
	}
	r.sh("grep() { while read -r line; do case $line in \"$1\") return 0;; esac; done; return 1; }; grep '# mine' </etc/relinkd/relinkd.toml")
	if out := r.sh("relinkd version"); !strings.Contains(out, newer) {
		t.Errorf("relinkd version: %s", out)
	}

	// What cannot be restored is not erased.
	r.sh("echo '[nonsense]' >>/etc/relinkd/relinkd.toml")
	if out, ok := r.rpm("-e", "relinkd"); ok || !strings.Contains(out, "mend what stands above") || !strings.Contains(out, "nonsense") {
		t.Errorf("with a bad configuration it is erased (%v):\n%s", ok, out)
	}
	if out := r.sh("relinkd version; ls " + path + "_060"); !strings.Contains(out, "imapd_060") {
		t.Errorf("after a refusal: %s", out)
	}
	r.sh("mine=$(cat /etc/relinkd/relinkd.toml) && echo \"${mine%?nonsense?}\" >/etc/relinkd/relinkd.toml")

	calls(t, r.dir)
	out = r.must("-e", "relinkd")
	if !strings.Contains(out, "restored "+path) {
		t.Errorf("erasing says\n%s", out)
	}
	if systemd != (len(calls(t, r.dir)) > 0) {
		t.Error("the service is not stopped, or there is none")
	}
	if inode(path) != packaged {
		t.Error("the packaged file is not back")
	}
	// rpm itself keeps a configuration that was changed.
	if left := r.left(); left != "/etc/relinkd\n/etc/relinkd/relinkd.toml.rpmsave\n" {
		t.Errorf("left:\n%s", left)
	}
	r.sh("rm -r /etc/relinkd")
	r.must("-i", "--nodeps", second)
	r.must("-e", "relinkd")
	if left := r.left(); left != "" {
		t.Errorf("erasing leaves\n%s", left)
	}
}

// listed is what rpm says is installed: mode, owner, group and path.
func (r rpmRoot) listed() []string {
	var all []string
	for line := range strings.Lines(r.must("-q", "--queryformat", `[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]`, "relinkd")) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}
