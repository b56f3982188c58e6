// Package doctor looks at a host and tells an administrator what relinkd can do there and what stands in
// its way: facts are gathered first, then judged by functions that touch nothing. It must never change
// what is installed or configured, nor claim that copies make a host faster.
package doctor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Host says where the kernel and the administrator keep what the doctor reads.
type Host struct {
	Proc  string   // procfs
	Sys   string   // sysfs
	Etc   string   // the system's configuration
	Run   string   // what lasts until the next boot
	Dpkg  string   // dpkg's database
	RPM   []string // where rpm's database may be
	Cron  []string // directories of users' crontabs
	Units []string // where systemd looks for units, the first counts most
}

// ThisHost is the host that the doctor runs on.
func ThisHost() Host { return HostAt("/") }

// HostAt is a host whose directories are below root.
func HostAt(root string) Host {
	in := func(path string) string { return filepath.Join(root, path) }
	return Host{
		Proc:  in("proc"),
		Sys:   in("sys"),
		Etc:   in("etc"),
		Run:   in("run"),
		Dpkg:  in("var/lib/dpkg"),
		RPM:   []string{in("usr/lib/sysimage/rpm"), in("var/lib/rpm")},
		Cron:  []string{in("var/spool/cron/crontabs"), in("var/spool/cron")},
		Units: []string{in("etc/systemd/system"), in("run/systemd/system"), in("usr/local/lib/systemd/system"), in("usr/lib/systemd/system"), in("lib/systemd/system")},
	}
}

// process is the path of a file of a process in procfs.
func (h Host) process(pid int, name string) string {
	return filepath.Join(h.Proc, strconv.Itoa(pid), name)
}

// processes lists the processes that procfs shows.
func (h Host) processes() []int {
	d, err := os.Open(h.Proc)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // what cannot be listed is not seen
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cores is the number of processors that are online, 0 when it cannot be told.
func (h Host) cores() int {
	n := 0
	for part := range strings.SplitSeq(readLine(filepath.Join(h.Sys, "devices/system/cpu/online")), ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			return 0
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(to); err != nil {
				return 0
			}
		}
		n += last - first + 1
	}
	return n
}

// readLine is a small file without the white space at its ends; "" when it cannot be read.
func readLine(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}
