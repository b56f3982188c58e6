package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const imapd = "/usr/lib/cyrus/bin/imapd"

func TestSecurity(t *testing.T) {
	for name, c := range map[string]struct {
		s    securityFacts
		want []string
	}{
		"nothing":                {securityFacts{}, []string{"fine no SELinux, AppArmor, fapolicyd or IMA"}},
		"SELinux, no copies":     {securityFacts{SELinux: "enforcing", Label: "system_u:object_r:cyrus_exec_t:s0"}, []string{"fine SELinux is enforcing; copies get the label system_u:object_r:cyrus_exec_t:s0"}},
		"SELinux, copies":        {securityFacts{SELinux: "permissive", Label: "x", Copies: 60}, []string{"fine SELinux is permissive, and all copies have the label x"}},
		"SELinux, a wrong label": {securityFacts{SELinux: "enforcing", Label: "x", Copies: 60, Mislabeled: []string{"a", "b", "c", "d", "e"}}, []string{"TODO SELinux is enforcing, and 5 copies have not the label x: a, b, c and 2 more | relinkd verify imapd | semanage fcontext"}},
		"fapolicyd":              {securityFacts{Fapolicyd: "running"}, []string{"TODO fapolicyd runs | dir=/usr/lib/cyrus/bin/ | fagenrules --load"}},
		"fapolicyd, a rule":      {securityFacts{Fapolicyd: "running", Trusted: true}, []string{"fine fapolicyd has a rule"}},
		"fapolicyd, asleep":      {securityFacts{Fapolicyd: "installed"}, []string{"note fapolicyd is installed, and does not run | before you start it"}},
		"IMA":                    {securityFacts{IMA: true}, []string{"TODO IMA appraises executables, and /usr/lib/cyrus/bin/imapd has no security.ima"}},
		"IMA, signed":            {securityFacts{IMA: true, Signed: true}, []string{"fine IMA appraises"}},
		"AppArmor":               {securityFacts{AppArmor: true}, []string{"fine AppArmor has no profile for /usr/lib/cyrus/bin/imapd"}},
		"AppArmor, path alone":   {securityFacts{AppArmor: true, Profiles: []profile{{"/etc/apparmor.d/imapd", imapd, false}}}, []string{"TODO AppArmor's profile in /etc/apparmor.d/imapd is for /usr/lib/cyrus/bin/imapd alone | {,_[0-9][0-9][0-9]}"}},
		"SELinux, launcher":      {securityFacts{SELinux: "enforcing", Label: "x", Launcher: true}, []string{"fine", "note SELinux: the launcher executes a copy from within the domain of x | execute_no_trans"}},
		"AppArmor, launcher":     {securityFacts{AppArmor: true, Launcher: true, Profiles: []profile{{"/etc/apparmor.d/imapd", imapd, true}}}, []string{"TODO AppArmor's profile in /etc/apparmor.d/imapd holds for the launcher | imapd_[0-9][0-9][0-9] rix,"}},
		"AppArmor, copies":       {securityFacts{AppArmor: true, Profiles: []profile{{"/etc/apparmor.d/imapd", imapd + "*", true}}}, []string{"fine AppArmor's profile in /etc/apparmor.d/imapd is for the copies too"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.s.Path = imapd
			says(t, c.s.judge("imapd"), c.want...)
		})
	}
}

func TestGatherSecurity(t *testing.T) {
	h, path := installed(t)
	if s := h.gatherSecurity(path, directoryFacts{Source: path}); s.SELinux != "" || s.Fapolicyd != "" || s.IMA || s.AppArmor || len(s.Profiles) > 0 {
		t.Errorf("of a host without any: %+v", s)
	}
	write(t, filepath.Join(h.Sys, "fs/selinux/enforce"), "1")
	write(t, filepath.Join(h.Etc, "fapolicyd/rules.d/30-mail.rules"), "allow perm=any all : dir="+filepath.Dir(path)+"/\n")
	write(t, h.process(70, "comm"), "fapolicyd\n")
	write(t, filepath.Join(h.Proc, "cmdline"), "root=/dev/sda1 ima_policy=tcb|appraise_tcb\n")
	write(t, filepath.Join(h.Sys, "module/apparmor/parameters/enabled"), "Y\n")
	write(t, filepath.Join(h.Etc, "apparmor.d/one"), "#include <tunables/global>\nprofile cyrus-imapd "+path+" flags=(complain) {\n  /etc/imapd.conf r,\n}\n")
	write(t, filepath.Join(h.Etc, "apparmor.d/two"), path+"{,_[0-9][0-9][0-9]} {\n}\n")
	write(t, filepath.Join(h.Etc, "apparmor.d/other"), "profile x /usr/bin/other {\n  "+path+" ix,\n}\n")
	s := h.gatherSecurity(path, directoryFacts{Source: path})
	if s.SELinux != "enforcing" || s.Fapolicyd != "running" || !s.Trusted || !s.IMA || !s.AppArmor {
		t.Errorf("%+v", s)
	}
	if len(s.Profiles) != 2 || s.Profiles[0].Copies || !s.Profiles[1].Copies {
		t.Errorf("%+v", s.Profiles)
	}
	write(t, filepath.Join(h.Etc, "fapolicyd/rules.d/30-mail.rules"), "deny perm=any all : dir="+filepath.Dir(path)+"/\n")
	if s := h.gatherSecurity(path, directoryFacts{Source: path}); s.Trusted {
		t.Error("a rule that denies is taken for one that allows")
	}
}

func TestLabels(t *testing.T) {
	h, path := installed(t)
	copies := []string{path + "_001", path + "_002"}
	for i, file := range append([]string{path}, copies...) {
		if i > 0 {
			write(t, file, "x")
		}
		label := "system_u:object_r:cyrus_exec_t:s0\x00"
		if i == 2 {
			label = "system_u:object_r:bin_t:s0\x00"
		}
		if err := unix.Setxattr(file, "security.selinux", []byte(label), 0); err != nil {
			t.Skipf("cannot set a label here (%v): it takes root, and a kernel without SELinux", err)
		}
	}
	s := h.gatherSecurity(path, directoryFacts{Source: path, Copies: copies})
	if s.Label != "system_u:object_r:cyrus_exec_t:s0" || len(s.Mislabeled) != 1 || s.Mislabeled[0] != "imapd_002" {
		t.Errorf("%+v", s)
	}
}

func TestGlobbed(t *testing.T) {
	for pattern, want := range map[string]bool{
		imapd: true, "/usr/lib/cyrus/bin/*": true, "/usr/lib/**": true, "/usr/lib/*": false, "/usr/lib/cyrus/bin/imap": false,
		"/usr/lib/cyrus/bin/{imapd,lmtpd}": true, "/usr/lib/cyrus/bin/imap[a-d]": true, "/usr/lib/cyrus/bin/imap?": true,
		"/usr/lib/cyrus.bin/imapd": false, "/usr/lib/cyrus/bin/imapd{,_[0-9][0-9][0-9]}": true, "/usr/lib/[": false,
	} {
		if got := globbed(pattern, imapd); got != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
}

func TestMain(m *testing.M) {
	unix.Umask(0o022) // what is installed must not be writable by others
	os.Exit(m.Run())
}
