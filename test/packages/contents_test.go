package packages_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// debContents are the files of the .deb, with mode and owner.
var debContents = []string{
	"-rw-r--r-- root/root ./etc/relinkd/relinkd.toml",
	"-rw-r--r-- root/root ./lib/systemd/system/relinkd.service",
	"-rwxr-xr-x root/root ./usr/sbin/relinkd",
	"-rw-r--r-- root/root ./usr/share/bash-completion/completions/relinkd",
	"-rw-r--r-- 0/0 ./usr/share/doc/relinkd/changelog.Debian.gz",
	"-rw-r--r-- root/root ./usr/share/doc/relinkd/copyright",
	"-rw-r--r-- root/root ./usr/share/doc/relinkd/examples/metrics-tcp.conf",
	"-rw-r--r-- root/root ./usr/share/doc/relinkd/examples/relinkd-alerts.yml",
	"-rw-r--r-- root/root ./usr/share/doc/relinkd/examples/relinkd-dashboard.json",
	"-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/relinkd.fish",
	"-rw-r--r-- root/root ./usr/share/lintian/overrides/relinkd",
	"-rw-r--r-- root/root ./usr/share/man/man5/relinkd.toml.5.gz",
	"-rw-r--r-- root/root ./usr/share/man/man8/relinkd.8.gz",
	"-rw-r--r-- root/root ./usr/share/zsh/vendor-completions/_relinkd",
}

// The .deb of each architecture holds the same files, and a static program that says its version; that of
// another machine in qemu-user.
func TestContents(t *testing.T) {
	slow(t)
	for _, arch := range []struct {
		name    string
		machine elf.Machine
		run     []string // what runs it, the first of them that there is
	}{
		{"amd64", elf.EM_X86_64, nil},
		{"arm64", elf.EM_AARCH64, []string{"qemu-aarch64-static", "qemu-aarch64"}},
	} {
		t.Run(arch.name, func(t *testing.T) {
			deb := packageFor(t, newer, "deb", arch.name)
			listing, err := command(time.Minute, "dpkg-deb", "-c", deb)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(listing) {
				if f := strings.Fields(line); !strings.HasPrefix(line, "d") {
					got = append(got, f[0]+" "+f[1]+" "+f[5])
				}
			}
			if diff := cmp.Diff(debContents, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			dir := t.TempDir()
			if _, err := command(time.Minute, "dpkg-deb", "-x", deb, dir); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "usr/sbin/relinkd")
			f, err := elf.Open(program)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if needed, err := f.ImportedLibraries(); f.Machine != arch.machine || err != nil || len(needed) > 0 || f.Section(".interp") != nil {
				t.Errorf("the program is for %s and needs %q, %v", f.Machine, needed, err)
			}
			if shipped, err := os.ReadFile(filepath.Join(dir, "etc/relinkd/relinkd.toml")); err != nil || len(shipped) == 0 {
				t.Errorf("the configuration: %d bytes, %v", len(shipped), err)
			}
			args := []string{program, "version"}
			for _, emulator := range arch.run {
				if _, err := exec.LookPath(emulator); err == nil {
					args = []string{emulator, program, "version"}
					break
				}
			}
			if len(arch.run) > 0 && len(args) == 2 {
				t.Skipf("needs %s to run it (tools/setup installs it for root)", arch.run[0])
			}
			if out, err := command(time.Minute, args[0], args[1:]...); err != nil || !strings.HasPrefix(out, "relinkd "+newer+" ") {
				t.Errorf("relinkd version: %q, %v", out, err)
			}
		})
	}
}

// How systemd itself rates the sandbox of the unit, from 0, which is best, to 10.
func TestSandboxRating(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	out, err := command(time.Minute, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=25", "../../packaging/relinkd.service")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(lastLines(out, 1))
	// What it does not know it ignores, and says so.
	if out, err := command(time.Minute, "systemd-analyze", "verify", "--man=no", "../../packaging/relinkd.service"); err != nil && !strings.Contains(out, "/usr/sbin/relinkd") || strings.Contains(out, "Unknown") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
