package packages_test

import (
	"os/exec"
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
			if _, err := command(2*time.Minute, judge.name, append(judge.args, packages(t, older, judge.format)...)...); err != nil {
				t.Error(err)
			}
		})
	}
}
