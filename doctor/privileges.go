package doctor

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/config"
)

// daemonFacts is what is known of the running daemon.
type daemonFacts struct {
	Answers    bool
	NoAnswer   string // why it does not
	PID        int    // 0: not known
	UID        int    // effective; -1: not known
	Caps       uint64 // effective
	CapsKnown  bool
	Unit       string        // that systemd runs it as, "" for none
	Uptime     time.Duration // 0: not known
	CensusOnly string        // why it counts without process events, "" when it has them

	Unreadable  int
	Hidden      []string // of those, which the doctor may not look at either: number and name
	Overflows   int
	ConfigError string
	LastError   string
}

func (o Options) gatherDaemon() daemonFacts {
	d := daemonFacts{Answers: o.Status != nil, NoAnswer: o.NoStatus, PID: o.PID, UID: -1}
	if s := o.Status; s != nil {
		d.Unreadable, d.Overflows, d.ConfigError, d.LastError = s.UnreadableProcesses, s.Overflows, s.ConfigError, s.LastError
		if s.Accounting != "netlink" {
			d.CensusOnly = s.AccountingReason
			if d.CensusOnly == "" {
				d.CensusOnly = "the daemon counts by census"
			}
		}
	}
	if d.Unreadable > 0 {
		d.Hidden = o.Host.hidden()
	}
	if d.PID == 0 {
		return d
	}
	d.readStatus(o.Host)
	d.Unit = unitOf(readLine(o.Host.process(d.PID, "cgroup")))
	d.Uptime = o.Host.uptime(d.PID)
	return d
}

// hidden lists the processes of which the kernel does not say what they execute.
func (h Host) hidden() []string {
	var all []string
	for _, pid := range h.processes() {
		var st unix.Stat_t
		if err := unix.Stat(h.process(pid, "exe"), &st); err == unix.EACCES || err == unix.EPERM {
			all = append(all, fmt.Sprintf("%d (%s)", pid, readLine(h.process(pid, "comm"))))
		}
	}
	return all
}

// readStatus takes user and capabilities from /proc/PID/status.
func (d *daemonFacts) readStatus(h Host) {
	for line := range strings.Lines(readLine(h.process(d.PID, "status"))) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch {
		case name == "Uid" && len(fields) > 1:
			if uid, err := strconv.Atoi(fields[1]); err == nil {
				d.UID = uid
			}
		case name == "CapEff" && len(fields) > 0:
			if caps, err := strconv.ParseUint(fields[0], 16, 64); err == nil {
				d.Caps, d.CapsKnown = caps, true
			}
		}
	}
}

// unitOf is the service that a process belongs to by its control group, "" for none.
func unitOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), "::") // version 2: "0::/system.slice/relinkd.service"
		if unit := filepath.Base(path); strings.HasSuffix(unit, ".service") {
			return unit
		}
	}
	return ""
}

// uptime is how long a process has run, 0 when that cannot be told.
func (h Host) uptime(pid int) time.Duration {
	const hz = 100 // USER_HZ, in which the kernel tells times to programs, on every machine that Go knows
	stat := readLine(h.process(pid, "stat"))
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // a command's name may hold anything
	const starttime = 22 - 3                                            // the 22nd field; the rest begins with the third
	up, _, _ := strings.Cut(readLine(filepath.Join(h.Proc, "uptime")), " ")
	since, err := strconv.ParseFloat(up, 64)
	if err != nil || len(fields) <= starttime {
		return 0
	}
	started, err := strconv.ParseFloat(fields[starttime], 64)
	if err != nil {
		return 0
	}
	return time.Duration((since - started/hz) * float64(time.Second))
}

// needed is what relinkd is to be capable of besides being root.
var needed = []struct {
	name string
	bit  uint
	why  string
}{
	{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, "to tell which file a process of another user executes"},
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, "to subscribe to process events"},
	{"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE, "to read an executable that may only be executed"},
	{"CAP_CHOWN", unix.CAP_CHOWN, "to give a copy the owner of its source"},
	{"CAP_FOWNER", unix.CAP_FOWNER, "to set mode, time and attributes of a copy that is not root's"},
	{"CAP_FSETID", unix.CAP_FSETID, "to keep the set-group-id bit of a copy"},
	{"CAP_SETFCAP", unix.CAP_SETFCAP, "to give a copy the file capabilities of its source"},
	{"CAP_LEASE", unix.CAP_LEASE, "to see that nobody still writes a new executable"},
}

func (d daemonFacts) judge() []Finding {
	f := &found{section: Privileges}
	if !d.Answers {
		f.note("the daemon was not asked: "+d.NoAnswer, "what follows is of the configuration and the host alone", "")
		return f.all
	}
	d.judgeCapabilities(f)
	if d.Unit != "" {
		f.fine("systemd runs the daemon as "+d.Unit, "it is started anew should it end")
	} else if d.PID != 0 {
		f.note("the daemon does not run under systemd", "nothing starts it anew should it end; the link stays and works meanwhile",
			"have your init supervise `relinkd run`")
	}
	d.judgeUnreadable(f)
	if d.Overflows > 0 {
		f.note("process events were lost "+counted(d.Overflows, "time", "times")+" since the daemon's start", "each is followed by a new count, until which copies may fill beyond the mark",
			"if the number grows: raise the daemon's priority (Nice= in the unit), for it was not let run")
	}
	if d.ConfigError != "" {
		f.needs("the configuration in force is an earlier one: "+d.ConfigError, "what the file says now does not hold", "mend it, then: relinkd check-config && relinkd reload")
	}
	if d.LastError != "" {
		f.note("the daemon's last error: "+d.LastError, "it may be over; the log tells", "journalctl -u relinkd -p warning")
	}
	return f.all
}

func (d daemonFacts) judgeUnreadable(f *found) {
	const why = "a process that cannot be read is counted for no copy, so that the threshold may be passed"
	what := "the daemon cannot read what " + counted(d.Unreadable, "process executes", "processes execute")
	if len(d.Hidden) > 0 {
		what += ": " + some(d.Hidden)
	}
	switch {
	case d.Unreadable == 0:
		f.fine("the daemon can read all processes", why)
	case d.Unreadable == 1 && len(d.Hidden) == 1 && strings.HasPrefix(d.Hidden[0], "1 "):
		f.note(what, "that is init, which runs no copy", "")
	default:
		f.needs(what, why, "let it run as root with CAP_SYS_PTRACE, and /proc be mounted without hidepid")
	}
}

func (d daemonFacts) judgeCapabilities(f *found) {
	const why = "without them it counts too low, or makes copies that differ from their source"
	switch {
	case d.PID == 0 || !d.CapsKnown:
		f.note("what the daemon may do cannot be told", why, "")
		return
	case d.UID > 0:
		f.note(fmt.Sprintf("the daemon (process %d) runs as user %d", d.PID, d.UID), "it sees that user's processes alone, and manages only that user's files", "run it as root")
		return
	}
	missing := false
	for _, c := range needed {
		if d.Caps&(1<<c.bit) == 0 {
			missing = true
			f.needs(fmt.Sprintf("the daemon (process %d) has no %s", d.PID, c.name), "it needs that "+c.why,
				"add it to CapabilityBoundingSet= of the unit, or to what the container may have")
		}
	}
	if !missing {
		f.fine(fmt.Sprintf("the daemon (process %d) has all %d capabilities that it needs", d.PID, len(needed)), why)
	}
}

// sandboxFacts is whether the daemon may write to an install directory.
type sandboxFacts struct {
	Dir      string
	ReadOnly bool // for the running daemon
	Known    bool // ReadOnly is
	Unit     string
	Strict   bool // there is a unit that lets it write nowhere but in these
	Allowed  []string
}

func (o Options) gatherSandbox(path string, d daemonFacts) sandboxFacts {
	s := sandboxFacts{Dir: filepath.Dir(path), Unit: config.Unit}
	if real, err := filepath.EvalSymlinks(s.Dir); err == nil {
		s.Dir = real
	}
	if d.Unit != "" {
		s.Unit = d.Unit
	}
	if d.PID != 0 {
		if f, err := os.Open(o.Host.process(d.PID, "mountinfo")); err == nil {
			s.ReadOnly, s.Known = mountedReadOnly(bufio.NewScanner(f), s.Dir)
			f.Close()
		}
	}
	s.Strict, s.Allowed = o.Host.readUnit(s.Unit)
	return s
}

// mountedReadOnly tells of the mount that dir is in, by the lines of a mountinfo: the last of the
// longest mount points that hold it.
func mountedReadOnly(lines *bufio.Scanner, dir string) (readOnly, known bool) {
	longest := ""
	for lines.Scan() {
		// id parent device root mount-point options ... - type source super-options
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			continue
		}
		point := unescaped(fields[4])
		if !holds(point, dir) || len(point) < len(longest) {
			continue
		}
		longest, known = point, true
		readOnly = hasOption(fields[5], "ro") || hasOption(fields[len(fields)-1], "ro")
	}
	return readOnly, known
}

// unescaped is a path as mountinfo spells it.
func unescaped(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// holds reports whether path is dir or below it.
func holds(dir, path string) bool {
	return dir == path || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func hasOption(list, option string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == option {
			return true
		}
	}
	return false
}

// readUnit reads a unit and its drop-ins: whether it makes the file system read-only, and but for what.
func (h Host) readUnit(name string) (strict bool, allowed []string) {
	var files []string
	for _, dir := range h.Units {
		if file := filepath.Join(dir, name); len(files) == 0 && readLine(file) != "" {
			files = append(files, file)
		}
	}
	for _, dir := range h.Units {
		drops, _ := filepath.Glob(filepath.Join(dir, name+".d", "*.conf")) // the pattern is well-formed
		files = append(files, drops...)
	}
	for _, file := range files {
		for line := range strings.Lines(readLine(file)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
			case "ProtectSystem":
				strict = value == "strict"
			case "ReadWritePaths":
				if value == "" {
					allowed = nil
				}
				for path := range strings.FieldsSeq(value) {
					allowed = append(allowed, strings.TrimLeft(path, "-+"))
				}
			}
		}
	}
	return strict, allowed
}

func (s sandboxFacts) judge(target string) []Finding {
	f := &found{section: Place, target: target}
	const why = "copies are made in that directory, and path is replaced there"
	do := config.OpenDir(s.Unit, s.Dir)
	allowed := !s.Strict
	for _, dir := range s.Allowed {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		allowed = allowed || holds(dir, s.Dir)
	}
	switch {
	case s.Known && s.ReadOnly && s.Strict && !allowed, !s.Known && s.Strict && !allowed:
		f.needs("the sandbox of "+s.Unit+" does not let relinkd write to "+s.Dir, why, do)
	case s.Known && s.ReadOnly:
		f.needs(s.Dir+" is read-only for the daemon", why, "if it was made anew since the daemon's start, restart that; else mount it writable")
	case s.Known:
		f.fine(s.Dir+" is writable for the daemon", why)
	case s.Strict:
		f.fine("the sandbox of "+s.Unit+" lets relinkd write to "+s.Dir, why)
	}
	return f.all
}
