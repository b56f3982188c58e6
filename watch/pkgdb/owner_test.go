package pkgdb

import "testing"

func TestOwner(t *testing.T) {
	a := newAdminDir(t)
	owner := func(path, want string) {
		t.Helper()
		if got, err := Owner(a.dir, path); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
	}
	owner(imapd, "")
	a.list("cyrus-common", "/usr/lib/cyrus/bin/lmtpd")
	a.list("cyrus-imapd:amd64", "/usr/lib/cyrus/bin", imapd)
	owner(imapd, "cyrus-imapd")
	owner(imapd+"_001", "")
	if got, err := Owner(a.dir+"-not-there", imapd); got != "" || err != nil {
		t.Errorf("without a database: %q, %v", got, err)
	}
}

func TestDiverted(t *testing.T) {
	a := newAdminDir(t)
	diverted := func(wantTo, wantBy string) {
		t.Helper()
		if to, by, err := Diverted(a.dir, imapd); to != wantTo || by != wantBy || err != nil {
			t.Errorf("%q by %q, %v, want %q by %q", to, by, err, wantTo, wantBy)
		}
	}
	diverted("", "")
	a.write("diversions", "/bin/sh", "/bin/sh.distrib", "dash", imapd, imapd+".distrib", ":")
	diverted(imapd+".distrib", "")
	a.write("diversions", imapd, imapd+".real", "wrapper")
	diverted(imapd+".real", "wrapper")
	a.write("diversions", imapd)
	if _, _, err := Diverted(a.dir, imapd); err == nil {
		t.Error("a broken file was taken for none")
	}
}

func TestOverride(t *testing.T) {
	a := newAdminDir(t)
	override := func(want string) {
		t.Helper()
		if got, err := Override(a.dir, imapd); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	override("")
	a.write("statoverride", "root root 755 /bin/sh", "root mail 4750 "+imapd, "cyrus mail 700 "+imapd+"x")
	override("root mail 4750")
}
