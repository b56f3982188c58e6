package packages_test

import (
	"strings"
	"testing"

	"relinkd/api"
)

// sidecar: cyrus.conf names the private link, which must not go before it does.
func (m *machine) sidecar(t *testing.T) {
	m.must(t, "apt-get purge -y -q relinkd && apt-get install -y -q /root/relinkd_"+older+".deb")
	m.must(t, `sed -i 's/^publish = .*/publish = "none"/' /etc/relinkd/relinkd.toml && systemctl reload relinkd && relinkd manage imapd --yes </dev/null`)
	m.is(t, api.Steady)
	m.must(t, `sed -i 's|cmd="imapd |cmd="`+binDir+`/.relinkd/imapd |' /etc/cyrus.conf && grep -q .relinkd/imapd /etc/cyrus.conf && systemctl restart cyrus-imapd`)
	m.serves(t)
	users, held := m.logins(t, 2), m.hold(t, 5)
	m.shows(t, "sessions on copies", func(s *api.Status) bool { return s.Targets[0].Processes >= 5 })

	out := m.must(t, "apt-get remove -y -q relinkd")
	if !strings.Contains(out, "cyrus.conf") {
		t.Errorf("the removal does not say what to edit:\n%s", out)
	}
	if link := m.must(t, "readlink "+binDir+"/.relinkd/imapd"); link != "../imapd" {
		t.Errorf("the private link leads to %q", link)
	}
	if out, _ := m.run(t, "ls "+imapd+"_*"); strings.Contains(out, "imapd_001") {
		t.Errorf("copies are left: %s", out)
	}
	m.must(t, "apt-get purge -y -q relinkd && test -e "+binDir+"/.relinkd/imapd")
	alive(t, held)
	n := users.unharmed(t, "removal and purge")
	if out, _ := m.run(t, "dpkg -V cyrus-imapd"); out != "" {
		t.Errorf("dpkg -V: %s", out)
	}
	// What is left goes by hand, as it was said.
	m.must(t, `sed -i 's|cmd="`+binDir+`/.relinkd/imapd |cmd="imapd |' /etc/cyrus.conf && rm -r `+binDir+`/.relinkd && systemctl restart cyrus-imapd`)
	m.serves(t)
	m.traceless(t)
	t.Logf("%d logins, none failed", n)
}
