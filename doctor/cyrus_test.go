package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"relinkd/config"
)

const conf = `# a mail server
START {
  recover	cmd="ctl_cyrusdb -r"
}

SERVICES {
  imap		cmd="imapd -U 30" listen="imap" prefork=5 maxchild=4000
  imaps		cmd="imapd -s -U 30" \
		listen="imaps" prefork=0 maxchild=8000
  # pop3	cmd="pop3d" listen="pop3"
  lmtpunix cmd = "lmtpd" listen="/run/cyrus/socket/lmtp"  # deliveries
}
EVENTS {
  imapd		cmd="imapd" period=1440
}
`

func TestParseCyrusConf(t *testing.T) {
	got, err := parseCyrusConf(strings.NewReader(conf))
	if err != nil {
		t.Fatal(err)
	}
	want := []service{
		{"imap", []string{"imapd", "-U", "30"}, 5, 4000},
		{"imaps", []string{"imapd", "-s", "-U", "30"}, 0, 8000},
		{"lmtpunix", []string{"lmtpd"}, 0, -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got[0].uses() != 30 || got[2].uses() != 250 || (service{Command: []string{"imapd", "-U1"}}).uses() != 1 {
		t.Error("-U is read wrongly")
	}
	for text, problem := range map[string]string{
		"imap cmd=x\n":                              "line 1",
		"SERVICES {\n imap cmd\n}\n":                "no value",
		"SERVICES {\n imap cmd=\"x\n}\n":            "not closed",
		"SERVICES {\n imap prefork=many\n}\n":       "no number",
		"SERVICES {\n imap cmd=x listen=\"imap\"\n": "SERVICES is not closed",
	} {
		if _, err := parseCyrusConf(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %v, want %q", text, err, problem)
		}
	}
}

func FuzzParseCyrusConf(f *testing.F) {
	f.Add(conf)
	f.Add("SERVICES {\nimap = \"\n}")
	f.Fuzz(func(t *testing.T, text string) {
		services, err := parseCyrusConf(strings.NewReader(text))
		if err == nil {
			for _, s := range services {
				s.uses()
				s.runs(imapd, imapd)
			}
		}
	})
}

// A service whose program is a link to the target's, however it leads there, runs the target: its maxchild
// counts in the sum.
func TestServicesByLinks(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(filepath.Join(bin, ".relinkd"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(bin, "imapd")
	for name, text := range map[string]string{
		"bin/.relinkd/imapd": "../imapd_003", "bin/imapd": ".relinkd/imapd", "bin/proxyd": "imapd", "bin/proxyd2": "./proxyd",
		"sbin": "bin", "bin/other": "nowhere", "bin/round": "round", "bin/byname": filepath.Join(dir, "sbin", "imapd"), "bin/private": ".relinkd/imapd",
	} {
		if err := os.Symlink(text, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for program, want := range map[string]bool{
		"imapd": true, "proxyd": true, "proxyd2": true, "byname": true, "private": true, filepath.Join(dir, "sbin", "proxyd"): true,
		"other": false, "round": false, "missing": false, "/bin/imapd": false,
	} {
		if got := (service{Command: []string{program}}).runs(path, filepath.Join(bin, ".relinkd", "imapd")); got != want {
			t.Errorf("%s: %v, want %v", program, got, want)
		}
	}
	if (service{}).runs(path, "") {
		t.Error("a service without a command runs it")
	}

	f := &found{}
	s := site{Conf: "cyrus.conf", Services: []service{
		{Name: "imap", Command: []string{"imapd"}, MaxChild: 300}, {Name: "proxy", Command: []string{"proxyd"}, MaxChild: 500}}}
	s.judge(f, config.Target{Path: path, Copies: 2, MaxCopies: 2, Threshold: 200, RotateAt: 0.9, Rotation: config.RotationAdaptive}, "")
	if !slices.ContainsFunc(f.all, func(f Finding) bool { return strings.Contains(f.What, "maxchild of imap and proxy is 800 together") }) {
		t.Errorf("%+v", f.all)
	}
}

func TestCyrus(t *testing.T) {
	const link = "/usr/lib/cyrus/bin/.relinkd/imapd"
	imap := func(change func(*service)) service {
		s := service{Name: "imap", Command: []string{"imapd", "-U", "30"}, MaxChild: 4000}
		change(&s)
		return s
	}
	same := func(*service) {}
	target := config.Target{Name: "imapd", Path: imapd, Publish: config.PublishSymlink, Copies: 60, MaxCopies: 240, Threshold: 200, RotateAt: 0.9, Rotation: config.RotationAdaptive}
	const reused = "note imap (-U 30): workers are reused, and a rotation retires all that wait"
	for name, c := range map[string]struct {
		change   func(*config.Target)
		services []service
		want     []string
	}{
		"room for all": {nil, []service{imap(same)}, []string{"fine /etc/cyrus.conf: imap runs imapd",
			"fine maxchild of imap is 4000; 60 copies take 10800 (180 on each)", reused}},
		"room for just as many": {nil, []service{imap(func(s *service) { s.MaxChild = 10800 })}, []string{"fine", "fine maxchild of imap is 10800", reused}},
		"together they grow the pool": {nil, []service{imap(func(s *service) { s.MaxChild = 8000 }), imap(func(s *service) { s.Name, s.MaxChild = "imaps", 8000 })},
			[]string{"fine /etc/cyrus.conf: imap and imaps run imapd", "note maxchild of imap and imaps is 16000 together; 60 copies take 10800 | grows to 89 | set copies = 89", "note imap (-U 30) and imaps (-U 30): workers are reused"}},
		"too many": {nil, []service{imap(func(s *service) { s.MaxChild = 50000 })},
			[]string{"fine", "TODO maxchild of imap is 50000; 60 copies take 10800 | max_copies = 240 take 43200 | set max_copies = 278, or threshold = 233, or lower maxchild", reused}},
		"more than there can be copies": {nil, []service{imap(func(s *service) { s.MaxChild = 500000 })},
			[]string{"fine", "TODO | set threshold = 2316 or more, or lower maxchild", reused}},
		"no limit":        {nil, []service{imap(func(s *service) { s.MaxChild = -1 })}, []string{"fine", "note imap has no maxchild | together are at most 43200", reused}},
		"prefork":         {nil, []service{imap(func(s *service) { s.Prefork = 20 })}, []string{"fine", "fine", reused + "; Cyrus then starts 20 anew (prefork)"}},
		"no reuse":        {nil, []service{imap(func(s *service) { s.Command = []string{"imapd", "-U", "1"} })}, []string{"fine", "fine", "fine imap: -U 1"}},
		"launcher":        {func(t *config.Target) { t.Publish = "launcher" }, []service{imap(same)}, []string{"fine", "fine", "fine imap (-U 30): workers are reused, and with a launcher a rotation retires none"}},
		"none, not named": {func(t *config.Target) { t.Publish = config.PublishNone }, []service{imap(same)}, []string{"fine", `TODO service imap runs imapd, and with publish = "none" nothing leads | set cmd="/usr/lib/cyrus/bin/.relinkd/imapd -U 30", then restart Cyrus`, "fine", reused}},
		"none, named": {func(t *config.Target) { t.Publish = config.PublishNone }, []service{imap(func(s *service) { s.Command[0] = link })},
			[]string{"fine", "fine service imap names the private link", "fine", reused}},
		"named without none": {nil, []service{imap(func(s *service) { s.Command[0] = link })},
			[]string{"fine", `TODO service imap names the private link, and publish is "symlink" | cmd="imapd -U 30", or publish = "none"`, "fine", reused}},
		"by the clock":    {func(t *config.Target) { t.Rotation = config.RotationInterval }, []service{imap(same)}, []string{"fine", `note rotation = "interval" looks at no threshold`, reused}},
		"another program": {nil, []service{imap(func(s *service) { s.Command = []string{"/opt/imapd"} })}, []string{"note /etc/cyrus.conf has no service that runs imapd"}},
	} {
		t.Run(name, func(t *testing.T) {
			tt := target
			if c.change != nil {
				c.change(&tt)
			}
			says(t, judgeCyrus(tt, []site{{Conf: "/etc/cyrus.conf", Services: c.services}}, link), c.want...)
		})
	}
	says(t, judgeCyrus(target, nil, link), "fine no Cyrus is found")
	says(t, judgeCyrus(target, []site{{PID: 7, Conf: "/x", Err: "permission denied"}}, link), "note cannot read /x (of master, process 7): permission denied | as root")
}

func TestGatherSites(t *testing.T) {
	h := HostAt(t.TempDir())
	if all := h.gatherSites(); len(all) != 0 {
		t.Errorf("on a host without Cyrus: %+v", all)
	}
	write(t, filepath.Join(h.Etc, "cyrus.conf"), conf)
	if all := h.gatherSites(); len(all) != 1 || all[0].PID != 0 || len(all[0].Services) != 3 || all[0].Err != "" {
		t.Errorf("that does not run: %+v", all)
	}
	other := filepath.Join(t.TempDir(), "other.conf")
	write(t, other, "SERVICES {\n imap cmd=imapd\n}\n")
	write(t, h.process(30, "comm"), "cyrmaster\n")
	write(t, h.process(30, "cmdline"), "cyrmaster\x00-C\x00/x/imapd.conf\x00-M\x00"+other+"\x00-d\x00")
	write(t, h.process(31, "comm"), "master\n") // Postfix's
	write(t, h.process(31, "cmdline"), "/usr/lib/postfix/sbin/master\x00-w\x00")
	if err := os.Symlink("/usr/lib/postfix/sbin/master", h.process(31, "exe")); err != nil {
		t.Fatal(err)
	}
	write(t, h.process(32, "comm"), "cyrus-master\n")
	write(t, h.process(32, "cmdline"), "/usr/libexec/cyrus-imapd/cyrus-master\x00")
	write(t, h.process(33, "comm"), "cyrmaster\n") // in a container
	if err := os.Symlink(t.TempDir(), h.process(33, "root")); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // of some user
		write(t, h.process(34, "comm"), "cyrmaster\n")
		if err := os.Chown(h.process(34, "."), 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	all := h.gatherSites()
	if len(all) != 2 || all[0].PID != 30 || all[0].Conf != other || all[1].PID != 32 || all[1].Conf != filepath.Join(h.Etc, "cyrus.conf") {
		t.Errorf("that run: %+v", all)
	}
}

func TestCron(t *testing.T) {
	h, path := installed(t)
	dir := filepath.Dir(path)
	write(t, filepath.Join(h.Etc, "crontab"), "# ln -sf imapd_002 "+path+"\n17 * * * * root ls "+path+"\n")
	write(t, filepath.Join(h.Etc, "cron.d/mailcheck"), "0 1 * * * root cp /etc/imapd.conf "+dir+"/backup/\n")
	if jobs := h.gatherCron(path); len(jobs) != 0 {
		t.Errorf("innocent lines: %+v", jobs)
	}
	tool := filepath.Join(t.TempDir(), "turn")
	write(t, tool, "cd "+dir+" || exit\nln -sf imapd_$next imapd\n")
	write(t, filepath.Join(h.Cron[0], "root"), "* * * * * "+tool+" >/dev/null\n")
	write(t, filepath.Join(h.Etc, "cron.d/relink"), "* * * * * root ln -sfn imapd_$(date +\\%M) "+path+"\n")
	jobs := h.gatherCron(path)
	if len(jobs) != 2 || jobs[0].File != filepath.Join(h.Etc, "cron.d/relink") || jobs[1] != (job{tool, "ln -sf imapd_$next imapd"}) {
		t.Errorf("%+v", jobs)
	}
	says(t, judgeCron("imapd", jobs[1:]), "TODO | relinks by hand: ln -sf imapd_$next imapd | take that line out")
}
