package packages_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"relinkd/api"
)

// imapd is what is managed.
const (
	binDir = "/usr/lib/cyrus/bin"
	imapd  = binDir + "/imapd"
)

// installCyrus installs Cyrus on a booted machine, with one user, and waits until logins are served.
func (m *machine) installCyrus(t *testing.T, version string) {
	t.Helper()
	m.must(t, "apt-get install -y -q --no-download sasl2-bin libsasl2-modules "+strings.Join(cyrusAt(version), " "))
	m.startCyrus(t)
}

// startCyrus gives a Cyrus that was installed just now its user, takes out of its configuration the
// services that are packages of their own (master refuses to run without them), and starts it.
func (m *machine) startCyrus(t *testing.T) {
	t.Helper()
	m.must(t, `echo secret | saslpasswd2 -p -c user1 && chown cyrus:sasl /etc/sasldb2 &&
sed -i -E 's/^\s*(pop3|nntp|http)s?\s/#&/' /etc/cyrus.conf && systemctl restart cyrus-imapd`)
	m.serves(t)
}

// serves waits until a login succeeds.
func (m *machine) serves(t *testing.T) {
	t.Helper()
	var last error
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		c, err := m.login()
		if err == nil {
			c.conn.Close()
			return
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	out, _ := m.run(t, "systemctl status --no-pager cyrus-imapd; journalctl --no-pager -n 20 -u cyrus-imapd")
	t.Fatalf("no login for 30 s: %v\n%s", last, out)
}

// status is what `relinkd status --json` tells.
func (m *machine) status(t *testing.T) *api.Status {
	t.Helper()
	var s api.Status
	if text := m.must(t, "relinkd status --json"); json.Unmarshal([]byte(text), &s) != nil || len(s.Targets) == 0 {
		t.Fatalf("relinkd status --json: %s", text)
	}
	return &s
}

// is waits until the first target is in a state, and returns the status then.
func (m *machine) is(t *testing.T, want api.State) *api.Status {
	t.Helper()
	return m.shows(t, "the target to be "+string(want), func(s *api.Status) bool { return s.Targets[0].State == want })
}

// shows waits until the daemon answers with a status that is ok, and returns it.
func (m *machine) shows(t *testing.T, what string, ok func(*api.Status) bool) *api.Status {
	t.Helper()
	var s api.Status
	var text string
	for deadline := time.Now().Add(45 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		s = api.Status{}
		text, _ = m.run(t, "relinkd status --json")
		if json.Unmarshal([]byte(text), &s) == nil && len(s.Targets) > 0 && ok(&s) {
			return &s
		}
	}
	t.Fatalf("waited 45 s in vain for %s; status is\n%s", what, lastLines(text, 60))
	return nil
}

// property is one property of a unit.
func (m *machine) property(t *testing.T, unit, name string) string {
	t.Helper()
	return m.must(t, fmt.Sprintf("systemctl show --value -p %s %s", name, unit))
}

// number is a property that is one.
func (m *machine) number(t *testing.T, unit, name string) int {
	t.Helper()
	n, err := strconv.Atoi(m.property(t, unit, name))
	if err != nil {
		t.Fatalf("%s of %s: %v", name, unit, err)
	}
	return n
}

// active checks that relinkd's service runs and is ready.
func (m *machine) active(t *testing.T) {
	t.Helper()
	if got := m.property(t, "relinkd", "ActiveState"); got != "active" {
		t.Errorf("relinkd.service is %s", got)
	}
}

// inodes are the inodes of imapd's copies, a line each.
func (m *machine) inodes(t *testing.T) string {
	t.Helper()
	return m.must(t, "stat -c '%i %n' "+imapd+"_[0-9][0-9][0-9]")
}

// managed checks that path leads to a copy, that there are as many as configured, and that each holds
// the bytes that the package brought.
func (m *machine) managed(t *testing.T) {
	t.Helper()
	if link := m.must(t, "readlink "+imapd); link != ".relinkd/imapd" {
		t.Errorf("path is a link to %q", link)
	}
	sums := m.must(t, "md5sum "+imapd+"_[0-9][0-9][0-9] | cut -d' ' -f1 | sort | uniq -c")
	packaged := m.must(t, "grep -h ' usr/lib/cyrus/bin/imapd$' /var/lib/dpkg/info/cyrus-imapd.md5sums | cut -d' ' -f1")
	if sums != "60 "+packaged {
		t.Errorf("the copies are\n%s\nthe packaged file %s", sums, packaged)
	}
}

// unmanaged checks that nothing of relinkd's is in the install directory, and that the packaged file
// stands at path.
func (m *machine) unmanaged(t *testing.T) {
	t.Helper()
	if out, _ := m.run(t, "ls -A "+binDir+" | grep -E '^\\.relinkd|^imapd_|^imapd\\.'"); out != "" {
		t.Errorf("in %s there is\n%s", binDir, out)
	}
	if out, _ := m.run(t, "dpkg -V cyrus-imapd"); out != "" {
		t.Errorf("dpkg -V cyrus-imapd: %s", out)
	}
}

// exposure is how systemd rates the unit's sandbox, from 0 to 10.
func (m *machine) exposure(t *testing.T) string {
	t.Helper()
	out, code := m.run(t, "systemd-analyze security --no-pager --offline=true --threshold=25 /lib/systemd/system/relinkd.service")
	if code != 0 {
		t.Errorf("the unit is exposed more than 2.5:\n%s", out)
	}
	rated := regexp.MustCompile(`exposure level for relinkd.service: (\S+)`).FindStringSubmatch(out)
	if rated == nil {
		t.Fatalf("no rating in\n%s", out)
	}
	return rated[1]
}

// complaints are the lines of relinkd's journal since a cursor that are errors, and those in which a
// kernel or sandbox refused something.
func (m *machine) complaints(t *testing.T) string {
	t.Helper()
	out, _ := m.run(t, "journalctl --no-pager -b -u relinkd -p err -o cat; journalctl --no-pager -b -u relinkd -o cat | grep -iE 'not permitted|permission denied|read-only'")
	if strings.Contains(out, "No entries") {
		return ""
	}
	return out
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
