package packages_test

import (
	"strings"
	"testing"
	"time"

	"relinkd/api"
)

// hollow: a system on which relinkd is there first, told to manage what comes later. Then Cyrus goes and comes
// back, and at last its configuration names the private link.
func hollow(t *testing.T, l *lab) {
	c, err := newContainer(l.clone(t, "hollow"))
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, c)
	t.Run("early", m.early)
	t.Run("absent", m.absent)
	t.Run("sidecar", m.sidecar)
}

func (m *machine) early(t *testing.T) {
	m.must(t, "apt-get install -y -q /root/relinkd_"+older+".deb")
	m.active(t)
	m.is(t, api.Released)
	m.must(t, "relinkd manage imapd --yes </dev/null")
	m.is(t, api.Absent)
	m.lasts(t, 0, 5*time.Second)
	m.installCyrus(t, olderCyrus)
	m.is(t, api.Steady)
	m.managed(t)
	restarts := m.number(t, "relinkd", "NRestarts")
	if restarts > 2 {
		t.Errorf("relinkd was restarted %d times because of one new directory", restarts)
	}
	m.lasts(t, restarts, 5*time.Second)
	m.active(t)
	t.Logf("boot %.1f s, %d restarts by systemd for a directory made after relinkd's start", m.booted.Seconds(), restarts)
}

// absent: Cyrus goes and comes back while relinkd stays: as a package, and with the directory under the
// sandbox.
func (m *machine) absent(t *testing.T) {
	before := m.number(t, "relinkd", "NRestarts")
	m.must(t, "apt-get remove -y -q cyrus-imapd")
	m.is(t, api.Absent)
	if out := m.must(t, "ls -A "+binDir); strings.Contains(out, "imapd") || strings.Contains(out, "relinkd") {
		t.Errorf("in %s there is\n%s", binDir, out)
	}
	m.active(t)
	m.must(t, "apt-get install -y -q --no-download cyrus-imapd="+olderCyrus+" && systemctl restart cyrus-imapd")
	m.is(t, api.Steady)
	m.managed(t)
	m.serves(t)
	if n := m.number(t, "relinkd", "NRestarts"); n != before {
		t.Errorf("relinkd was restarted %d times by a package that went and came", n-before)
	}

	// A purge takes the directory away, and the next installation makes another. In one run with the removal
	// dpkg would find our link, put back meanwhile, in the directory, and leave it.
	m.must(t, "apt-get remove -y -q cyrus-imapd")
	m.is(t, api.Absent)
	m.must(t, "apt-get purge -y -q cyrus-imapd cyrus-common && ! test -e "+binDir)
	m.is(t, api.Absent)
	m.must(t, "apt-get install -y -q --no-download "+strings.Join(cyrusAt(olderCyrus), " "))
	m.is(t, api.Steady)
	m.managed(t)
	m.startCyrus(t)
	restarts := m.number(t, "relinkd", "NRestarts")
	if restarts-before > 2 {
		t.Errorf("relinkd was restarted %d times because of one new directory", restarts-before)
	}
	m.lasts(t, restarts, 5*time.Second)
	m.active(t)
	t.Logf("%d restarts by systemd for a directory made anew", restarts-before)
}
