package packages_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What Debian's and Fedora's own judges say of the packages. Whatever they may say and is as it should be
// stands, with its reason, in packaging/lintian-overrides and packaging/rpmlint.toml.
func TestLint(t *testing.T) {
	slow(t)
	for _, judge := range []struct {
		name, format string
		args         []string
	}{
		{"lintian", "deb", []string{"--allow-root", "--display-info", "--pedantic", "--tag-display-limit", "0", "--fail-on", "error,warning,info,pedantic"}},
		{"rpmlint", "rpm", []string{"--strict", "--config", "../../packaging/rpmlint.toml"}},
	} {
		t.Run(judge.name, func(t *testing.T) {
			if _, err := exec.LookPath(judge.name); err != nil {
				t.Skipf("needs %s (tools/setup installs it for root)", judge.name)
			}
			relativeCpio(t)
			before := onHost(t)
			if _, err := command(2*time.Minute, judge.name, append(judge.args, packages(t, older, judge.format)...)...); err != nil {
				t.Error(err)
			}
			if after := onHost(t); after != before {
				t.Errorf("%s has changed the host's own files: %s, before %s", judge.name, after, before)
			}
		})
	}
}

// onHost tells which file of relinkd's the host has, which only the host's own administrator may change.
func onHost(t *testing.T) string {
	t.Helper()
	info, err := os.Lstat("/usr/share/licenses/relinkd/copyright")
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().String()
}

// relativeCpio has cpio unpack below the directory that it is called in. The names in nfpm's packages begin
// with a slash, and rpmlint 2.4 would unpack them over the host's own files.
func relativeCpio(t *testing.T) {
	t.Helper()
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("needs cpio (tools/setup installs it for root)")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nexec " + cpio + " --no-absolute-filenames \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "cpio"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
