package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/fsys"
	"relinkd/pool"
)

// site is one Cyrus: a running master, or a configuration that one would have.
type site struct {
	PID      int    // 0: it does not run
	Conf     string // its cyrus.conf
	Services []service
	Err      string // why the file cannot be read
}

// gatherSites finds the masters that run, and the usual cyrus.conf if none does.
func (h Host) gatherSites() []site {
	var all []site
	trusted := h.cyrusUsers()
	for _, pid := range h.processes() {
		var st unix.Stat_t
		if unix.Stat(h.process(pid, "."), &st) != nil || !trusted[st.Uid] {
			continue // anybody may call a process of his so
		}
		if !h.hasOurRoot(pid) {
			continue // in a container, where paths are other files
		}
		switch readLine(h.process(pid, "comm")) {
		case "cyrmaster", "cyrus-master": // Debian; Fedora names it so too
		case "master": // Postfix has one as well
			if exe, _ := os.Readlink(h.process(pid, "exe")); !strings.Contains(exe, "cyrus") {
				continue
			}
		default:
			continue
		}
		all = append(all, readSite(pid, confOf(readLine(h.process(pid, "cmdline")), filepath.Join(h.Etc, "cyrus.conf"))))
	}
	if len(all) == 0 {
		if s := readSite(0, filepath.Join(h.Etc, "cyrus.conf")); s.Err != "none" {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b site) int { return cmp.Compare(a.PID, b.PID) })
	return all
}

// cyrusUsers are those as whom a master runs: root, Cyrus's own user, and who asks.
func (h Host) cyrusUsers() map[uint32]bool {
	users := map[uint32]bool{0: true, uint32(os.Geteuid()): true}
	for line := range strings.Lines(readLine(filepath.Join(h.Etc, "passwd"))) {
		fields := strings.Split(line, ":")
		if len(fields) < 3 || fields[0] != "cyrus" {
			continue
		}
		if uid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			users[uint32(uid)] = true
		}
	}
	return users
}

// hasOurRoot reports whether a process has the doctor's root directory, as far as that can be told.
func (h Host) hasOurRoot(pid int) bool {
	var its, ours unix.Stat_t
	if unix.Stat(h.process(pid, "root"), &its) != nil || unix.Stat("/", &ours) != nil {
		return true
	}
	return fsys.InfoOf(&its).ID == fsys.InfoOf(&ours).ID
}

// confOf is the file that a master's command line names with -M.
func confOf(cmdline, usual string) string {
	words := strings.Split(cmdline, "\x00")
	for i, word := range words {
		if word == "-M" && i+1 < len(words) {
			return words[i+1]
		}
		if file, ok := strings.CutPrefix(word, "-M"); ok && file != "" {
			return file
		}
	}
	return usual
}

func readSite(pid int, conf string) site {
	s := site{PID: pid, Conf: conf}
	f, err := os.OpenFile(conf, os.O_RDONLY|unix.O_NONBLOCK, 0) // a fifo would be waited for
	if err == nil {
		defer f.Close()
		s.Services, err = parseCyrusConf(f)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && pid == 0:
		s.Err = "none"
	case err != nil:
		s.Err = err.Error()
	}
	return s
}

// reuse reports whether any service that runs the target reuses its workers, which is what a rotation
// costs when path is a link.
func reuse(t config.Target, sites []site) bool {
	for _, s := range sites {
		for _, one := range s.Services {
			if one.runs(t.Path, "") && one.uses() > 1 {
				return true
			}
		}
	}
	return false
}

func judgeCyrus(t config.Target, sites []site, privateLink string) []Finding {
	f := &found{section: Cyrus, target: t.Name}
	if len(sites) == 0 {
		f.fine("no Cyrus is found: neither a master that runs nor a cyrus.conf", "its limits are compared with the pool")
	}
	for _, s := range sites {
		s.judge(f, t, privateLink)
	}
	return f.all
}

func (s site) judge(f *found, t config.Target, privateLink string) {
	where := s.Conf
	if s.PID != 0 {
		where = fmt.Sprintf("%s (of master, process %d)", s.Conf, s.PID)
	}
	if s.Err != "" {
		f.note("cannot read "+where+": "+s.Err, "maxchild, prefork and -U are not compared with the pool", "run `relinkd doctor` as root, and see that master takes the file")
		return
	}
	var ours []service
	for _, one := range s.Services {
		if one.runs(t.Path, privateLink) {
			ours = append(ours, one)
		}
	}
	if len(ours) == 0 {
		f.note(where+" has no service that runs "+filepath.Base(t.Path), "nothing of that Cyrus would run a copy", "see whether path is the program that its services name")
		return
	}
	f.fine(fmt.Sprintf("%s: %s %s", where, names(ours), plural(len(ours), "runs ", "run ")+filepath.Base(t.Path)), "these services are compared with the pool")
	judgeLink(f, t, ours, privateLink)
	judgeRoom(f, t, ours)
	judgeReuse(f, t, ours)
}

// judgeLink compares what services execute with what publish says that they should.
func judgeLink(f *found, t config.Target, ours []service, privateLink string) {
	for _, one := range ours {
		byLink := one.program() == privateLink
		switch {
		case t.Publish == config.PublishNone && !byLink:
			f.needs(fmt.Sprintf("service %s runs %s, and with publish = \"none\" nothing leads from there to a copy", one.Name, one.program()),
				"all its processes run the packaged file",
				fmt.Sprintf("set cmd=%q, then restart Cyrus", strings.Join(append([]string{privateLink}, one.Command[1:]...), " ")))
		case t.Publish == config.PublishNone:
			f.fine("service "+one.Name+" names the private link", "that is what publish = \"none\" asks for")
		case byLink:
			f.needs(fmt.Sprintf("service %s names the private link, and publish is %q", one.Name, t.Publish),
				"relinkd restore takes that link away, and a service whose program is missing stops Cyrus",
				fmt.Sprintf("set cmd=%q, or publish = \"none\"", strings.Join(append([]string{filepath.Base(t.Path)}, one.Command[1:]...), " ")))
		}
	}
}

// judgeRoom compares how many processes Cyrus may start with how many the copies take.
func judgeRoom(f *found, t config.Target, ours []service) {
	if t.Rotation == config.RotationInterval {
		f.note("rotation = \"interval\" looks at no threshold, so maxchild is compared with nothing", "a burst between two rotations lands on one copy", "set rotation = \"adaptive\"")
		return
	}
	each := max(1, int(math.Floor(t.RotateAt*float64(t.Threshold)+1e-9)))
	room, most := t.Copies*each, t.MaxCopies*each
	pool := fmt.Sprintf("%d copies take %d (%d on each)", t.Copies, room, each)
	const why = "when all copies are full there is nowhere to rotate to, and the threshold is passed"
	children, free := 0, []service(nil)
	for _, one := range ours {
		if one.MaxChild < 0 {
			free = append(free, one)
		}
		children += max(0, one.MaxChild)
	}
	if len(free) > 0 {
		f.note(fmt.Sprintf("%s no maxchild: Cyrus starts as many processes as are asked for; %s, and %d at most %d",
			names(free)+plural(len(free), " has", " have"), pool, t.MaxCopies, most), why,
			fmt.Sprintf("set maxchild so that all services of %s together are at most %d", filepath.Base(t.Path), most))
		return
	}
	what := fmt.Sprintf("maxchild of %s is %d", names(ours), children)
	if len(ours) > 1 {
		what = fmt.Sprintf("maxchild of %s is %d together", names(ours), children)
	}
	copies := (children + each - 1) / each
	switch {
	case children <= room:
		f.fine(what+"; "+pool, why)
	case children <= most:
		f.note(fmt.Sprintf("%s; %s, and the pool grows to %d for all", what, pool, copies), "a copy is made the moment it is needed, and a burst does not wait for it",
			fmt.Sprintf("set copies = %d, so that they are there before", copies))
	default:
		f.needs(fmt.Sprintf("%s; %s, and max_copies = %d take %d", what, pool, t.MaxCopies, most), why, enlarge(t, children, copies))
	}
}

// enlarge says how the pool could take that many processes.
func enlarge(t config.Target, children, copies int) string {
	each := (children + t.MaxCopies - 1) / t.MaxCopies
	threshold := int(math.Ceil(float64(each)/t.RotateAt - 1e-9))
	if copies > pool.MaxCopies {
		return fmt.Sprintf("set threshold = %d or more, or lower maxchild", threshold)
	}
	return fmt.Sprintf("set max_copies = %d, or threshold = %d, or lower maxchild", copies, threshold)
}

// judgeReuse tells what a rotation costs these services.
func judgeReuse(f *found, t config.Target, ours []service) {
	const link = "before each connection a worker looks at its program through all links, and ends when that is another file"
	var once, reused []string
	prefork := 0
	for _, one := range ours {
		if one.uses() == 1 {
			once = append(once, one.Name)
			continue
		}
		reused = append(reused, fmt.Sprintf("%s (-U %d)", one.Name, one.uses()))
		prefork += one.Prefork
	}
	if len(once) > 0 {
		f.fine(listed(once)+": -U 1, so each connection has a process of its own, and a rotation ends no reuse", link)
	}
	if len(reused) == 0 {
		return
	}
	if t.Publish == "launcher" {
		f.fine(listed(reused)+": workers are reused, and with a launcher a rotation retires none", "what stands at path stays the same file")
		return
	}
	waiting := ""
	if prefork > 0 {
		waiting = fmt.Sprintf("; Cyrus then starts %d anew (prefork)", prefork)
	}
	f.note(listed(reused)+": workers are reused, and a rotation retires all that wait"+waiting, link,
		"leave room, so that rotations are rare: threshold above the connections held at once; relinkd status counts rotations")
}

func names(services []service) string {
	var all []string
	for _, s := range services {
		all = append(all, s.Name)
	}
	return listed(all)
}

// listed is a list in a sentence.
func listed(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
