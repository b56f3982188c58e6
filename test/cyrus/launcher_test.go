package cyrus_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/linker/launcher"
)

// Two ways of publishing, the same in all else.
const (
	bySymlink  = poolOf12 + "publish = \"symlink\"\n"
	byLauncher = poolOf12 + "publish = \"launcher\"\n"
)

// republish has the daemon publish as the given configuration says, and waits until it does.
func (d *daemon) republish(text, publish string) {
	d.t.Helper()
	old, err := os.ReadFile(d.config)
	if err != nil {
		d.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(old), "\n[control]\n")
	if err := os.WriteFile(d.config, []byte(text+"\n[control]\n"+rest), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.verb(0, "reload")
	await(d.t, 30*time.Second, "path to be a "+publish, func() bool {
		s := d.target("imapd")
		return s.State == api.Steady && s.Publish == publish && isLauncher(imapdPath) == (publish == "launcher")
	})
}

func isLauncher(path string) bool {
	content, err := os.ReadFile(path)
	_, is := launcher.Executes(content)
	return err == nil && is
}

// launched: logins by 8 clients on reused workers (-U 30), with none to a hundred rotations a second, path
// being a symbolic link and a launcher in turn. With a launcher no rotation retires a worker.
func launched(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.daemon(t, bySymlink)
	d.await("imapd", api.Steady)
	s := startCyrus(t, settings{prefork: 4})
	start := s.log.mark(t)
	window := 4 * time.Second
	if os.Getenv("LONG_TESTS") == "1" {
		window = 20 * time.Second
	}
	type row struct {
		rate      float64
		rotations int
		tally
		retired int
	}
	rows := map[string][]row{}
	rates := []int{0, 1, 10, 100}
	for _, rate := range rates {
		for _, publish := range []string{"symlink", "launcher"} {
			d.republish(map[string]string{"symlink": bySymlink, "launcher": byLauncher}[publish], publish)
			warm := startLoad(t, s.imap, 8, 0)
			settled(t, warm) // the workers of the way before are gone
			settled(t, warm)
			warm.stop()
			mark, before := s.log.mark(t), d.target("imapd").Rotations
			load := startLoad(t, s.imap, 8, 0)
			stop := func() {}
			if rate > 0 {
				tick := time.NewTicker(time.Second / time.Duration(rate))
				stop = loopUntil(func() {
					<-tick.C
					if err := d.rotate("imapd"); err != nil {
						t.Error(err)
					}
				})
			}
			<-time.After(window)
			stop()
			r := row{tally: load.stop(), rotations: d.target("imapd").Rotations - before}
			s.log.mark(t)
			r.retired = len(s.log.since(mark, "process file has changed"))
			r.rate = float64(r.Logins) / r.elapsed.Seconds()
			rows[publish] = append(rows[publish], r)
			if r.lost() > 0 {
				t.Errorf("%s, %d rotations a second: logins were lost: %v", publish, rate, r.tally)
			}
			if publish == "launcher" && r.retired > 0 {
				t.Errorf("%d rotations have retired %d workers behind a launcher", r.rotations, r.retired)
			}
			if publish == "symlink" && rate == 10 && r.retired == 0 {
				t.Error("rotations have retired no worker behind a symbolic link either: this proves nothing")
			}
			if rate > 0 && r.rotations < rate {
				t.Errorf("%s: %d rotations are too few for %d a second", publish, r.rotations, rate)
			}
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "publish, rotations a second: logins a second (share of none), p99 of a login, workers retired, workers that served\n")
	for _, publish := range []string{"symlink", "launcher"} {
		for i, r := range rows[publish] {
			fmt.Fprintf(&table, "%-8s %3d: %4.0f (%.2f), %7v, %4d, %4d\n", publish, rates[i], r.rate, r.rate/rows[publish][0].rate,
				r.quantile(.99), r.retired, len(r.workers))
		}
	}
	t.Log(table.String())
	s.log.noFailures(t, start)
	launchCost(t, d)
}

// launchCost tells how long imapd takes from its exec until it has loaded its libraries and found that its
// configuration is missing, by what it is executed through.
func launchCost(t *testing.T, d *daemon) {
	t.Helper()
	const times = 300
	link := filepath.Join(scratch(t), "imapd")
	if err := os.Symlink(filepath.Join(binDir, ".relinkd/imapd"), link); err != nil {
		t.Fatal(err)
	}
	if !isLauncher(imapdPath) {
		t.Fatal("path is no launcher")
	}
	took := map[string][]time.Duration{}
	for range times {
		for _, way := range []struct{ name, path string }{{"a copy", binDir + "/imapd_001"}, {"a symbolic link", link}, {"a launcher", imapdPath}} {
			cmd := exec.Command(way.path, "-C", filepath.Join(d.dir, "missing"))
			began := time.Now()
			if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() < 1 {
				t.Fatalf("%s: %v", way.name, err)
			}
			took[way.name] = append(took[way.name], time.Since(began))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(took)) {
		all := took[name]
		slices.Sort(all)
		t.Logf("imapd through %-15s p50 %v, p99 %v", name+":", all[times/2].Round(10*time.Microsecond), all[times*99/100].Round(10*time.Microsecond))
	}
}

// launchedUpgrade: an upgrade by apt retires each worker at its next accept, since the launcher is another
// file; so does restore. What is busy goes on. No spawn fails.
func launchedUpgrade(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.daemon(t, byLauncher)
	before := d.await("imapd", api.Steady).Generation.SHA256
	s := startCyrus(t, settings{prefork: 4})
	mark := s.log.mark(t)
	busy := hold(t, s.imap, 3, 1)
	idle := l.warm(t, s)
	old := inodes(copies(t, imapdPath))
	running := workers()

	l.host.install(t, l.host.cyrusAt(newerCyrus)...)
	d.awaitThat("imapd", "of the new generation", func(s api.TargetStatus) bool {
		return s.State == api.Steady && s.Generation.SHA256 != before
	})
	if !isLauncher(imapdPath) {
		t.Fatal("path is no launcher after the upgrade")
	}
	if got := strings.TrimSpace(altered(t, "cyrus-imapd")); got != "??5??????   "+imapdPath {
		t.Errorf("dpkg -V: %q", got)
	}
	retire(t, s, idle, running, "the upgrade", func(f file) bool {
		return !slices.Contains(values(old), f) && slices.Contains(values(inodes(copies(t, imapdPath))), f)
	})
	goOn(t, busy, "the upgrade")

	busy = append(busy, hold(t, s.imap, 3, 1)...)
	idle = l.warm(t, s)
	running = workers()
	d.verb(0, "restore", "imapd")
	packaged := fileAt(imapdPath)
	if left := leavings(t, imapdPath); len(left) > 0 || isLauncher(imapdPath) {
		t.Errorf("restore left %q", left)
	}
	retire(t, s, idle, running, "restore", func(f file) bool { return f == packaged })
	goOn(t, busy, "restore")
	release(busy)
	for n := range 40 { // until the last of them has looked
		if err := visit(s.imap, n); err != nil {
			t.Errorf("a login after restore: %v", err)
		}
	}
	s.log.noFailures(t, mark)

	d.verb(0, "manage", "imapd", "--yes")
	d.await("imapd", api.Steady)
	for _, verb := range []string{"remove", "purge"} {
		if _, err := apt(verb, "-y", "cyrus-imapd"); err != nil {
			t.Fatal(err)
		}
		d.await("imapd", api.Absent)
		for _, name := range append(copies(t, imapdPath), imapdPath, binDir+"/.relinkd") {
			if exists(name) {
				t.Errorf("%s is still there after apt-get %s", name, verb)
			}
		}
	}
	l.host.install(t, l.host.cyrusAt(olderCyrus)...)
	d.await("imapd", api.Steady)
	if !isLauncher(imapdPath) {
		t.Error("path is no launcher after the package came back")
	}
	d.verb(0, "restore", "imapd")
}

// warm makes some workers idle after they have served, and returns those that are.
func (l *lab) warm(t *testing.T, s *server) map[process]bool {
	t.Helper()
	for n := range 20 {
		if err := visit(s.imap, n); err != nil {
			t.Fatal(err)
		}
	}
	idle := map[process]bool{}
	for _, c := range hold(t, s.imap, 4, 4) { // more than one at a time
		idle[c.pid] = true
		if err := c.logout(); err != nil {
			t.Fatal(err)
		}
	}
	return idle
}

// workers are all processes of the name that are there now.
func workers() map[process]bool {
	all := map[process]bool{}
	for _, p := range processes() {
		if p.comm() == "imapd" {
			all[p] = true
		}
	}
	return all
}

// retire logs in until all of those idle workers have ended. None serves more than the one session that it
// may have been accepting already, and what has begun since satisfies is. Of those that were running already
// some may have been about to look at their file for the first time, and find nothing changed later.
func retire(t *testing.T, s *server, idle, running map[process]bool, by string, is func(file) bool) {
	t.Helper()
	served, sessions := map[process]int{}, 0
	await(t, time.Minute, "idle workers to retire after "+by, func() bool {
		c, err := dial(s.imap)
		if err == nil {
			err = c.login(user(sessions))
		}
		if err != nil {
			t.Fatalf("a login after %s: %v", by, err)
		}
		sessions++
		served[c.pid]++
		if f := c.pid.executable(); !running[c.pid] && served[c.pid] == 2 && !is(f) {
			t.Errorf("after %s worker %d runs %v", by, c.pid, f)
		}
		if err := c.logout(); err != nil {
			t.Fatal(err)
		}
		for pid := range idle {
			if pid.comm() == "imapd" {
				return false
			}
		}
		return true
	})
	again := 0
	for pid := range idle {
		if served[pid] > 1 {
			t.Errorf("after %s idle worker %d has served %d sessions", by, pid, served[pid])
		}
		again += served[pid]
	}
	t.Logf("after %s: %d idle workers retired within %d sessions, of which they served %d", by, len(idle), sessions, again)
}

// goOn fails the test unless the sessions still answer.
func goOn(t *testing.T, busy []*client, after string) {
	t.Helper()
	for _, c := range busy {
		if _, err := c.command("NOOP"); err != nil {
			t.Errorf("a held session after %s: %v", after, err)
		}
	}
}

func values(m map[string]file) (all []file) {
	for _, f := range m {
		all = append(all, f)
	}
	return all
}

// launchedDifferences is what an administrator sees of a worker and of path, as packaged, behind a symbolic
// link and behind a launcher. What differs is what the manual says does.
func launchedDifferences(t *testing.T, l *lab) {
	l.isolate(t)
	type view map[string]string
	look := func(s *server) view {
		c := hold(t, s.imap, 1, 1)[0]
		defer c.logout()
		pid := fmt.Sprint(int(c.pid))
		link, _ := os.Readlink(c.pid.dir("exe"))
		out := func(name string, args ...string) string {
			b, _ := exec.Command(name, args...).Output() // some exit with 1 when they find nothing
			return strings.TrimSpace(string(b))
		}
		has := func(list string) string { return fmt.Sprint(slices.Contains(strings.Fields(list), pid)) }
		mark := s.log.mark(t)
		if err := visit(s.imap, 1); err != nil {
			t.Fatal(err)
		}
		s.log.mark(t)
		tag := "none"
		if lines := s.log.since(mark, "login:"); len(lines) > 0 {
			tag, _, _ = strings.Cut(lines[0], "[")
			tag = tag[strings.LastIndexByte(tag, ' ')+1:]
		}
		proc := ""
		for line := range strings.Lines(out(binDir+"/cyr_info", "-C", s.conf, "proc")) {
			if f := strings.Fields(line); slices.Contains(f, pid) {
				proc = strings.Join(slices.DeleteFunc(f, func(field string) bool { return field == pid }), " ")
			}
		}
		return view{
			"ps comm":              out("ps", "-o", "comm=", "-p", pid),
			"ps args":              strings.ReplaceAll(out("ps", "-o", "args=", "-p", pid), s.conf, "CONF"),
			"/proc/PID/comm":       c.pid.comm(),
			"/proc/PID/exe":        filepath.Base(link),
			"pgrep -x imapd":       has(out("pgrep", "-x", "imapd")),
			"pgrep -f imapd":       has(out("pgrep", "-f", "imapd")),
			"pidof imapd":          has(out("pidof", "imapd")),
			"pidof " + imapdPath:   has(out("pidof", imapdPath)),
			"fuser " + imapdPath:   has(strings.NewReplacer("e", " ").Replace(out("fuser", imapdPath))),
			"syslog":               tag,
			"cyr_info proc":        proc,
			"dpkg -V":              altered(t, "cyrus-imapd"),
			"killall imapd":        killed(t, s, "imapd"),
			"killall " + imapdPath: killed(t, s, imapdPath),
			"file " + imapdPath:    fileType(t, imapdPath),
		}
	}
	views := map[string]view{}
	s := startCyrus(t, settings{prefork: 1})
	views["plain"] = look(s)
	d := l.daemon(t, bySymlink)
	d.await("imapd", api.Steady)
	visitCopy(t, s)
	views["symlink"] = look(s)
	d.republish(byLauncher, "launcher")
	visitCopy(t, s)
	views["launcher"] = look(s)

	same := []string{"ps comm", "ps args", "/proc/PID/comm", "pgrep -x imapd", "pgrep -f imapd", "pidof imapd", "syslog", "cyr_info proc", "killall imapd"}
	var table strings.Builder
	for _, what := range slices.Sorted(maps.Keys(views["plain"])) {
		p, sy, la := views["plain"][what], views["symlink"][what], views["launcher"][what]
		fmt.Fprintf(&table, "%s\n\tplain    %q\n\tsymlink  %q\n\tlauncher %q\n", what, p, sy, la)
		if slices.Contains(same, what) && (p != sy || p != la || p == "") {
			t.Errorf("%s differs: plain %q, symlink %q, launcher %q", what, p, sy, la)
		}
	}
	t.Log("\n" + table.String())
	for publish, want := range map[string]string{"plain": "imapd", "symlink": "imapd_", "launcher": "imapd_"} {
		if got := views[publish]["/proc/PID/exe"]; !strings.HasPrefix(got, want) {
			t.Errorf("%s: /proc/PID/exe is %s", publish, got)
		}
	}
	if got := views["launcher"]["pidof "+imapdPath]; got != "false" {
		t.Errorf("pidof by the path of a launcher finds a worker: %s", got)
	}
}

// fileType is what ls tells of a file.
func fileType(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	kind := info.Mode().String()
	if info.Size() <= launcher.MaxSize {
		kind += fmt.Sprintf(", %d bytes", info.Size())
	}
	return kind
}

// killed tells whether killall finds a worker by that name, in a pid namespace in which there is no other
// process to be killed.
func killed(t *testing.T, s *server, name string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	status, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer status.Close()
	cmd := exec.CommandContext(t.Context(), "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", `
		"$0" -C "$1" -U 30 </dev/null >/dev/null 2>&1 &
		n=0
		until grep -q libcyrus "/proc/$!/maps" 2>/dev/null; do # not the launcher any more
			n=$((n+1)); [ $n -lt 1000 ] || { echo no worker; exit; }
			sleep 0.01
		done
		if killall "$2" >/dev/null 2>&1; then echo found; else echo not found; fi`, imapdPath, s.conf, name)
	cmd.ExtraFiles = []*os.File{status, socket} // as master gives them: STATUS_FD and LISTEN_FD
	cmd.Env = append(os.Environ(), "CYRUS_SERVICE=imap", "CYRUS_ID=1")
	out, err := run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
