package doctor

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where a kernel cannot be asked, everything that may refuse a copy is named.
func TestUnsure(t *testing.T) {
	const path = "/usr/lib/cyrus/bin/imapd"
	for name, test := range map[string]struct {
		make func(h Host)
		want []string
	}{
		"nothing has a say": {func(Host) {}, nil},
		"fapolicyd runs": {func(h Host) {
			write(t, filepath.Join(h.Etc, "fapolicyd/fapolicyd.rules"), "deny perm=execute all : all\n")
			write(t, h.process(7, "comm"), "fapolicyd\n")
		}, []string{"fapolicyd runs, and has no rule for /usr/lib/cyrus/bin"}},
		"fapolicyd does not run": {func(h Host) {
			write(t, filepath.Join(h.Etc, "fapolicyd/fapolicyd.rules"), "deny perm=execute all : all\n")
		}, nil},
		"IMA": {func(h Host) { write(t, filepath.Join(h.Proc, "cmdline"), "quiet ima_policy=appraise_tcb\n") },
			[]string{"IMA appraises executables"}},
		"SELinux":            {func(h Host) { write(t, filepath.Join(h.Sys, "fs/selinux/enforce"), "1") }, []string{"SELinux is enforcing"}},
		"SELinux permissive": {func(h Host) { write(t, filepath.Join(h.Sys, "fs/selinux/enforce"), "0") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := HostAt(t.TempDir())
			test.make(h)
			if diff := cmp.Diff(test.want, h.unsure(path)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
