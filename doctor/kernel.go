package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/pool"
	"relinkd/watch/procevents"
)

// kernelFacts is what the kernel offers.
type kernelFacts struct {
	Release      string
	Root         bool   // the doctor runs as root
	Events       string // why process events are not to be had, "" when they are
	ByDaemon     bool   // the daemon says so, not a trial
	EventsOff    bool   // census.events is "off"
	ExecveCheck  bool
	Watches      use
	Instances    use
	NeedsWatches int  // of inotify, that relinkd wants
	Watching     bool // a daemon has them already
}

// use is how much of a limit of root's is taken; -1 where it cannot be told.
type use struct{ Taken, Limit int }

func (u use) left() int { return u.Limit - u.Taken }

func (o Options) gatherKernel(d daemonFacts) kernelFacts {
	f := kernelFacts{
		Release:      release(),
		Root:         os.Geteuid() == 0,
		EventsOff:    o.Config.Census.Events == "off",
		ExecveCheck:  pool.ExecveCheck(),
		NeedsWatches: 2 * len(o.Config.Targets),
		Watching:     o.Status != nil,
	}
	if o.Status != nil {
		f.ByDaemon, f.Events = true, d.CensusOnly
	} else if err := procevents.Probe(); err != nil {
		f.Events = err.Error()
	}
	f.Watches.Limit = o.Host.number("sys/fs/inotify/max_user_watches")
	f.Instances.Limit = o.Host.number("sys/fs/inotify/max_user_instances")
	f.Instances.Taken, f.Watches.Taken = o.Host.inotifyUse(0)
	if !f.Root {
		f.Instances.Taken, f.Watches.Taken = -1, -1
	}
	return f
}

func release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// number is a number in procfs, -1 when there is none.
func (h Host) number(name string) int {
	n, err := strconv.Atoi(readLine(filepath.Join(h.Proc, name)))
	if err != nil {
		return -1
	}
	return n
}

// inotifyUse counts what the processes of a user hold of inotify.
func (h Host) inotifyUse(uid uint32) (instances, watches int) {
	for _, pid := range h.processes() {
		var st unix.Stat_t
		if unix.Stat(h.process(pid, "."), &st) != nil || st.Uid != uid {
			continue
		}
		fds, _ := os.ReadDir(h.process(pid, "fd")) // a process that ended holds nothing
		for _, fd := range fds {
			if text, _ := os.Readlink(filepath.Join(h.process(pid, "fd"), fd.Name())); text != "anon_inode:inotify" {
				continue
			}
			instances++
			watches += strings.Count("\n"+readLine(filepath.Join(h.process(pid, "fdinfo"), fd.Name())), "\ninotify ")
		}
	}
	return instances, watches
}

func (k kernelFacts) judge() []Finding {
	f := &found{section: Kernel}
	f.fine("Linux "+k.Release, "files are exchanged by renameat2, which is of Linux 3.15")
	k.judgeEvents(f)
	if k.ExecveCheck {
		f.fine("AT_EXECVE_CHECK: new copies are tried before they are published", "a security module that refuses them is noticed in time")
	} else {
		f.note("no AT_EXECVE_CHECK, which is of Linux 6.14: of new copies only a noexec mount is noticed",
			"a security module (fapolicyd, IMA) that refuses a copy shows when processes fail to start",
			"after the first `relinkd manage`, see that new processes start, and try the same after an upgrade")
	}
	k.judgeInotify(f, "instances", k.Instances, k.NeedsWatches/2)
	k.judgeInotify(f, "watches", k.Watches, k.NeedsWatches)
	return f.all
}

func (k kernelFacts) judgeEvents(f *found) {
	const why = "by events a process is known within a millisecond; by census within up to a second, in which a burst may pass the threshold"
	switch {
	case k.EventsOff:
		f.note(`process events are not asked for: census.events is "off"`, why, `set census.events = "auto"`)
	case k.Events == "" && k.ByDaemon:
		f.fine("process events: the daemon has them", why)
	case k.Events == "":
		f.fine("process events are to be had", why)
	case !k.Root && !k.ByDaemon:
		f.note("process events cannot be tried by this user", why, "run `relinkd doctor` as root")
	default:
		f.note("no process events: "+k.Events, why,
			"run relinkd on the host itself, not in a container, as root; else lower rotate_at to leave room for a burst")
	}
}

func (k kernelFacts) judgeInotify(f *found, what string, u use, needed int) {
	key := "fs.inotify.max_user_" + what
	const why = "without inotify relinkd does not start: it could not tell what happens at path"
	switch {
	case u.Limit < 0:
		f.note("cannot read "+key, why, "")
	case u.Taken < 0:
		f.fine(fmt.Sprintf("inotify %s: root may have %d", what, u.Limit), why)
	case !k.Watching && u.left() < needed:
		f.needs(fmt.Sprintf("inotify %s: root has %d of %d, relinkd needs %d", what, u.Taken, u.Limit, needed), why,
			fmt.Sprintf("sysctl %s=%d, and the same in /etc/sysctl.d", key, 2*u.Limit+needed))
	default:
		f.fine(fmt.Sprintf("inotify %s: root has %d of %d", what, u.Taken, u.Limit), why)
	}
}
