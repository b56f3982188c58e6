package doctor

import (
	"path/filepath"
	"testing"
)

func TestPackages(t *testing.T) {
	h := HostAt(t.TempDir())
	says(t, h.gatherPackages(imapd).judge("imapd"), "note neither dpkg nor rpm is here | relinkd restore imapd")

	write(t, filepath.Join(h.Dpkg, "status"), "Package: base-files\n")
	write(t, filepath.Join(h.Dpkg, "info/other.list"), "/usr/bin/other\n")
	says(t, h.gatherPackages(imapd).judge("imapd"), "note dpkg: no package owns /usr/lib/cyrus/bin/imapd")

	write(t, filepath.Join(h.Dpkg, "info/cyrus-imapd:amd64.list"), "/usr/lib/cyrus/bin\n"+imapd+"\n")
	write(t, filepath.Join(h.Dpkg, "statoverride"), "root mail 04750 /usr/lib/cyrus/bin/deliver\nroot cyrus 0750 "+imapd+"\n")
	says(t, h.gatherPackages(imapd).judge("imapd"), "fine dpkg: /usr/lib/cyrus/bin/imapd belongs to cyrus-imapd",
		"fine dpkg-statoverride gives /usr/lib/cyrus/bin/imapd root cyrus 0750")

	write(t, filepath.Join(h.Dpkg, "statoverride"), "")
	write(t, filepath.Join(h.Dpkg, "diversions"), imapd+"\n"+imapd+".real\nwrapper\n")
	says(t, h.gatherPackages(imapd).judge("imapd"), "note dpkg: no package owns",
		`TODO dpkg-divert: /usr/lib/cyrus/bin/imapd is diverted to /usr/lib/cyrus/bin/imapd.real for wrapper | set path = "/usr/lib/cyrus/bin/imapd.real"`)

	write(t, filepath.Join(h.Dpkg, "diversions"), "half\n")
	says(t, h.gatherPackages(imapd).judge("imapd"), "note cannot tell which package owns")

	h = HostAt(t.TempDir())
	write(t, filepath.Join(h.RPM[0], "rpmdb.sqlite"), "")
	says(t, h.gatherPackages(imapd).judge("imapd"), "fine rpm: `rpm -qf /usr/lib/cyrus/bin/imapd` tells")
}
