package administrator_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/standin"
)

// step is one thing that an administrator does.
type step struct {
	Do string // a key of the table below
	On string // what to, for those that can be done to several; a key of places
	N  int    // which of several ways
}

func (s step) String() string { return strings.TrimSpace(fmt.Sprintf("%s %s %d", s.Do, s.On, s.N)) }

// action is a kind of step.
type action struct {
	often int  // how often it is chosen, relative to others
	on    bool // it is done to one of places
	root  bool // it needs root, and a file system of its own
	do    func(w *walk, on string, n int) error
}

// places are the things that a step can be done to. A word of the key may stand for a file that is not there.
var places = map[string]func(w *walk) string{
	"path":          func(w *walk) string { return w.path },
	"private-link":  func(w *walk) string { return w.privateLink() },
	"private-dir":   func(w *walk) string { return w.privateDir() },
	"linked-copy":   func(w *walk) string { return w.linked() },
	"copy-2":        func(w *walk) string { return w.copy(2) },
	"copy-3":        func(w *walk) string { return w.copy(3) },
	"next-copy":     func(w *walk) string { return w.copy(copies + 1) },
	"pristine":      func(w *walk) string { return w.pristine() },
	"generation":    func(w *walk) string { return w.generation() },
	"install-dir":   func(w *walk) string { return w.bin },
	"state-dir":     func(w *walk) string { return w.state() },
	"manifest":      func(w *walk) string { return filepath.Join(w.state(), name+".json") },
	"released-mark": func(w *walk) string { return w.released() },
}

// often is how often a place is chosen, where that is not once: path is the name that an administrator knows.
var often = map[string]int{"path": 5, "copy-2": 2, "pristine": 2}

// mended are the places of which relinkd makes good by itself whatever one step does to them, and the steps that it
// stands without harm, as long as nothing has hampered it and all was well before.
var mended = map[string]bool{"private-link": true, "private-dir": true, "linked-copy": true, "copy-2": true, "copy-3": true, "next-copy": true,
	"upgrade": true, "restart": true, "reload": true, "restore": true, "manage": true, "rotate": true, "reclone": true, "verify": true, "plan": true}

// meant are the steps that set attributes: on the private directory they are undone, on a copy they may be meant for all.
var meant = map[string]bool{"chmod": true, "chown": true, "setcap": true, "setfacl": true, "relabel": true}

// hampers are the steps, and the places of steps, after which relinkd can or may not mend all.
var hampers = map[string]bool{"chattr+i": true, "fill": true, "read-only": true, "state-dir": true, "manifest": true, "released-mark": true}

// linked is the copy that the private link leads to, or copy 1.
func (w *walk) linked() string {
	if text, err := os.Readlink(w.privateLink()); err == nil && copyName.MatchString(filepath.Base(text)) {
		return filepath.Join(w.bin, filepath.Base(text))
	}
	return w.copy(1)
}

// generation is an earlier program that relinkd keeps.
func (w *walk) generation() string {
	found, _ := filepath.Glob(w.private(name + ".generation-*"))
	if len(found) == 0 {
		return w.private(name + ".generation-0")
	}
	return found[0]
}

var errNothingThere = errors.New("nothing there")

// isFixed reports whether taking the place away would take away what the walk stands on.
func isFixed(on string) bool { return on == "install-dir" }

// replaced notes a program that was put over another name than path.
func (w *walk) replaced(on string, content []byte) {
	if on == "pristine" && w.complete(content) {
		w.meant = content
	}
}

// inPlace notes what writing into path puts there: through a link it goes into what the link leads to, which an
// administrator who means an upgrade can adopt; into a file or a launcher it makes another file of that.
func (w *walk) inPlace(path string, at kind, content []byte) {
	if path == w.path && (at == file || at == launches || at == nothing) && w.complete(content) {
		w.put(content)
	}
}

var texts = []string{".relinkd/imapd", "%bin/.relinkd/imapd", "imapd_002", "%alias/imapd_003", "%alias/.relinkd/imapd", "nowhere", "%other",
	"./imapd_001", "../bin/imapd_002", "imapd"}

var modes = []uint32{0o755, 0o700, 0o644, 0o555, 0o4755, 0o777, 0o000, 0o750}

// anotherUser is whom an access list names: not the one who executes path, of whom relinkd could not know.
const anotherUser = 1

// actions is everything that an administrator does at random.
var actions = map[string]action{
	// What packages, deploys and configuration management do to path.
	"upgrade": {12, false, false, func(w *walk, _ string, n int) error { // dpkg's way, back to an earlier version too
		content := w.program()
		if n == 3 && len(w.history) > 1 {
			content = w.history[len(w.history)-2]
		}
		if n == 2 { // with the backup that dpkg makes of what stands there
			backup := w.path + ".dpkg-tmp"
			if kindOf(w.path) == link {
				text, _ := os.Readlink(w.path)
				_ = os.Symlink(text, backup)
			} else {
				_ = os.Link(w.path, backup)
			}
			defer os.Remove(backup)
		}
		err := w.arrive(w.path+".dpkg-new", w.path, content, 0o755)
		if err == nil {
			w.put(content)
		}
		return err
	}},
	"install": {4, false, false, func(w *walk, _ string, _ int) error { // install(1): gone, then written
		if err := w.unlink(w.path); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		content := w.program()
		err := w.create(w.path, content, 0o755)
		if err == nil {
			w.put(content)
		}
		return err
	}},
	"mv-over": {4, false, false, func(w *walk, _ string, _ int) error {
		content := w.program()
		err := w.arrive(w.beside("deploy/imapd"), w.path, content, 0o755)
		if err == nil {
			w.put(content)
		}
		return err
	}},
	"rsync": {4, false, false, func(w *walk, _ string, n int) error { // of a tree that holds the program alone; odd: --delete
		content := w.program()
		from := w.beside("deploy/tree")
		os.RemoveAll(from)
		if err := os.Mkdir(from, 0o755); err != nil {
			return err
		}
		if err := w.create(filepath.Join(from, name), content, 0o755); err != nil {
			return err
		}
		defer os.RemoveAll(from)
		err := w.copyTree(from, w.bin, n%2 == 1)
		if n%2 == 1 && w.isGone(content) { // it came while relinkd exchanged path, and was deleted with what relinkd keeps
			return errors.Join(err, errNothingThere)
		}
		if got, rerr := readFile(w.path); rerr == nil && kindOf(w.path) == file && string(got) == string(content) || err == nil {
			w.put(content)
		}
		return err
	}},
	"unlike-file": {3, false, false, func(w *walk, _ string, n int) error { // at path, of a kind that relinkd does not manage
		content := [][]byte{{}, []byte("#!/bin/sh\nexec cat >/dev/null\n"), []byte("hello\n"), append(standin.ELF("v0")[:200:200], "half"...)}[n%4]
		if n >= 4 {
			return w.arrive(w.path+".tmp", w.path, content, 0o755)
		}
		if err := w.unlink(w.path); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		return w.create(w.path, content, 0o755)
	}},
	"wrap": {2, false, false, func(w *walk, _ string, _ int) error { // the program moved, a script in its place
		if err := w.rename(w.path, w.path+".real"); err != nil {
			return err
		}
		return w.create(w.path, []byte("#!/bin/sh\nexec "+w.path+".real \"$@\"\n"), 0o755)
	}},
	"directory": {1, true, false, func(w *walk, on string, _ int) error {
		if isFixed(on) {
			return nil
		}
		path := places[on](w)
		if err := w.removeAll(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o755)
	}},
	"fifo": {1, true, false, func(w *walk, on string, _ int) error {
		if isFixed(on) {
			return nil
		}
		path := places[on](w)
		if err := w.removeAll(path); err != nil {
			return err
		}
		return unix.Mkfifo(path, 0o644)
	}},

	// What shells do to any name.
	"rm": {6, true, false, func(w *walk, on string, _ int) error {
		if isFixed(on) {
			return nil
		}
		return w.removeAll(places[on](w))
	}},
	"mv-away": {3, true, false, func(w *walk, on string, n int) error {
		if isFixed(on) {
			return nil
		}
		to := places[on](w) + ".bak"
		if n%2 == 1 {
			to = w.beside("backup/" + filepath.Base(places[on](w)))
		}
		if on == "state-dir" || on == "manifest" || on == "released-mark" {
			to = places[on](w) + ".bak" // on its own file system
		}
		_ = os.RemoveAll(to)
		return w.rename(places[on](w), to)
	}},
	"mv-back": {3, true, false, func(w *walk, on string, _ int) error {
		from, to := places[on](w)+".bak", places[on](w)
		if kindOf(from) == other {
			_ = w.removeAll(to)
		}
		content, _ := readFile(from)
		at := kindOf(from)
		err := w.rename(from, to)
		if err == nil && on == "path" && at == file && w.complete(content) {
			w.put(content)
		}
		if err == nil && at == file {
			w.replaced(on, content)
		}
		return err
	}},
	"cp-away": {2, true, false, func(w *walk, on string, _ int) error { // cp -a
		if isFixed(on) {
			return nil
		}
		_ = os.RemoveAll(places[on](w) + ".bak")
		return w.copyEntry(places[on](w), places[on](w)+".bak", false)
	}},
	"empty": {2, true, false, func(w *walk, on string, _ int) error { return w.truncateAt(on, 0) }},
	"cut":   {2, true, false, func(w *walk, on string, _ int) error { return w.truncateAt(on, 300) }},
	"grow": {6, true, false, func(w *walk, on string, n int) error { // >>, a signer; as a rule well above the size of a launcher
		path := places[on](w)
		at := kindOf(path)
		more := []byte(fmt.Sprintf("+v%d", n))
		if before, err := readFile(path); err == nil && at == file && bytes.HasPrefix(before, []byte(elf.ELFMAG)) && !w.complete(before) {
			return nil // with more bytes what was cut short could be taken for a program
		}
		if n >= 2 {
			more = append(make([]byte, 2000), more...)
		}
		if err := w.appendTo(path, more); err != nil {
			return err
		}
		if content, err := readFile(path); err == nil && at == file {
			w.inPlace(path, at, content)
			w.replaced(on, content)
		}
		return nil
	}},
	"cp-over": {4, true, false, func(w *walk, on string, _ int) error {
		path := places[on](w)
		if kindOf(path) == other {
			return nil
		}
		at, content := kindOf(path), w.program()
		if err := w.overwrite(path, content); err != nil {
			return err
		}
		w.inPlace(path, at, content)
		w.replaced(on, content)
		return nil
	}},
	"mv-new-over": {5, true, false, func(w *walk, on string, _ int) error { // over a copy, the pristine, the private link …
		path := places[on](w)
		if kindOf(path) == other || isFixed(on) {
			return nil
		}
		content := w.program()
		err := w.arrive(path+".tmp", path, content, 0o755)
		if err == nil && on == "path" {
			w.put(content)
		}
		if err == nil {
			w.replaced(on, content)
		}
		return err
	}},
	"copy-over": {2, true, false, func(w *walk, on string, _ int) error { // a managed file over another name
		path := places[on](w)
		if kindOf(path) == other || isFixed(on) {
			return nil
		}
		content, err := readFile(w.copy(1))
		if err != nil {
			return err
		}
		err = w.arrive(path+".tmp", path, content, 0o755)
		if err == nil && on == "path" && w.complete(content) {
			w.put(content)
		}
		if err == nil {
			w.replaced(on, content)
		}
		return err
	}},
	"ln-s": {6, true, false, func(w *walk, on string, n int) error {
		path := places[on](w)
		if kindOf(path) == other {
			return nil
		}
		text := strings.NewReplacer("%bin", w.bin, "%alias", w.beside("alias"), "%other", w.other()).Replace(texts[n%len(texts)])
		if on != "path" && n%3 == 0 {
			text = "../imapd_003"
		}
		return w.symlink(text, path, n%2 == 0)
	}},
	"ln": {2, true, false, func(w *walk, on string, n int) error { // a further name
		if kindOf(places[on](w)) == other {
			return nil
		}
		to := w.beside(fmt.Sprintf("backup/%d", n))
		_ = os.Remove(to)
		return os.Link(places[on](w), to)
	}},
	"hardlink": {2, false, false, func(w *walk, _ string, _ int) error { // of util-linux: equal files become one
		first, err := readFile(w.copy(1))
		if err != nil {
			return err
		}
		var failed []error
		for n := 2; n <= 2*copies; n++ {
			if content, err := readFile(w.copy(n)); err != nil || string(content) != string(first) {
				continue
			}
			tmp := w.copy(n) + ".hardlink"
			err := os.Link(w.copy(1), tmp)
			if err == nil {
				err = w.rename(tmp, w.copy(n))
			}
			failed = append(failed, err)
		}
		return errors.Join(failed...)
	}},
	"backup": {2, false, false, func(w *walk, _ string, _ int) error {
		return w.copyTree(w.bin, w.beside("backup/tree"), true)
	}},
	"put-back": {2, false, false, func(w *walk, _ string, n int) error { // odd: with --delete
		from := w.beside("backup/tree")
		if kindOf(from) != other {
			return errNothingThere
		}
		err := w.copyTree(from, w.bin, n%2 == 1)
		w.putTree(filepath.Join(from, name))
		if content, err := readFile(filepath.Join(from, ".relinkd", name+".pristine")); err == nil {
			w.replaced("pristine", content)
		}
		return err
	}},
	"chmod": {4, true, false, func(w *walk, on string, n int) error { return unix.Chmod(places[on](w), modes[n%len(modes)]) }},
	"touch": {1, true, false, func(w *walk, on string, n int) error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, places[on](w), []unix.Timespec{{Sec: int64(n)}, {Sec: int64(n)}}, 0)
	}},

	// What root alone can do.
	"chown": {3, true, true, func(w *walk, on string, n int) error {
		return unix.Fchownat(unix.AT_FDCWD, places[on](w), []int{0, nobody, 1, 0}[n%4], []int{0, nobody, 0, group}[n%4], unix.AT_SYMLINK_NOFOLLOW*(n%2))
	}},
	"setcap": {2, true, true, func(w *walk, on string, n int) error {
		if n%3 == 2 {
			return unix.Removexattr(places[on](w), "security.capability")
		}
		const netBindService = 1 << 10
		value := make([]byte, 20) // struct vfs_cap_data of revision 2, effective
		binary.LittleEndian.PutUint32(value, 0x02000001)
		binary.LittleEndian.PutUint32(value[4:], netBindService)
		return unix.Setxattr(places[on](w), "security.capability", value, 0)
	}},
	"setfacl": {2, true, true, func(w *walk, on string, n int) error {
		if n%3 == 2 {
			return unix.Removexattr(places[on](w), "system.posix_acl_access")
		}
		// Version 2; then tag, permissions and id of each: owner, a user, group, mask, others.
		perm := []uint16{5, 0, 0}[n%3]
		value := binary.LittleEndian.AppendUint32(nil, 2)
		for _, e := range []struct {
			tag, perm uint16
			id        uint32
		}{{1, 7, ^uint32(0)}, {2, perm, anotherUser}, {4, 5, ^uint32(0)}, {16, 5, ^uint32(0)}, {32, 5, ^uint32(0)}} {
			value = binary.LittleEndian.AppendUint16(value, e.tag)
			value = binary.LittleEndian.AppendUint16(value, e.perm)
			value = binary.LittleEndian.AppendUint32(value, e.id)
		}
		return unix.Setxattr(places[on](w), "system.posix_acl_access", value, 0)
	}},
	"relabel": {1, true, true, func(w *walk, on string, n int) error {
		return unix.Lsetxattr(places[on](w), "security.selinux", []byte(fmt.Sprintf("system_u:object_r:bin_%d_t:s0", n%3)), 0)
	}},
	"chattr+i": {2, true, true, func(w *walk, on string, _ int) error { return chattr(places[on](w), true) }},
	"chattr-i": {2, true, true, func(w *walk, on string, _ int) error { return chattr(places[on](w), false) }},
	"fill":     {1, false, true, func(w *walk, _ string, _ int) error { return w.disk.fill() }},
	"make-room": {2, false, true, func(w *walk, _ string, _ int) error {
		return os.Remove(filepath.Join(w.disk.point, "filler"))
	}},
	"read-only": {1, false, true, func(w *walk, _ string, _ int) error { return w.disk.readOnly(true) }},
	"writable":  {2, false, true, func(w *walk, _ string, _ int) error { return w.disk.readOnly(false) }},

	// What an operator does to relinkd.
	"kill": {3, false, false, func(w *walk, _ string, _ int) error { return w.leave(syscall.SIGKILL) }},
	"upgrade-kill": {3, false, false, func(w *walk, _ string, n int) error { // in the midst of it
		content := w.program()
		if err := w.arrive(w.path+".dpkg-new", w.path, content, 0o755); err != nil {
			return err
		}
		w.put(content)
		_, err := execute(w.path) // a directory may be shut to others, or a file system not execute
		w.executed = err == nil
		time.Sleep(time.Duration(n*n) * time.Millisecond)
		return w.leave(syscall.SIGKILL)
	}},
	"stop": {3, false, false, func(w *walk, _ string, _ int) error { return w.leave(syscall.SIGTERM) }},
	"start": {8, false, false, func(w *walk, _ string, _ int) error {
		if w.d != nil {
			return nil
		}
		return w.start()
	}},
	"restart": {3, false, false, func(w *walk, _ string, _ int) error {
		if err := w.end(syscall.SIGTERM); err != nil {
			return err
		}
		return w.start()
	}},
	"reload": {2, false, false, func(w *walk, _ string, n int) error { return w.operator("reload") }},
	"publish-otherwise": {2, false, false, func(w *walk, _ string, n int) error {
		w.publish = []string{"symlink", "launcher", "none"}[n%3]
		if err := w.configure(); err != nil {
			return err
		}
		return w.operator("reload")
	}},
	"restore": {4, false, false, func(w *walk, _ string, n int) error {
		args := []string(nil)
		if n%2 == 1 {
			args = []string{"--force"}
		}
		if wrong := w.restore(args...); wrong != "" {
			return broken(wrong)
		}
		return nil
	}},
	"manage":  {4, false, false, func(w *walk, _ string, _ int) error { return w.operator("manage", name, "--yes") }},
	"rotate":  {2, false, false, func(w *walk, _ string, _ int) error { return w.operator("rotate", name) }},
	"reclone": {1, false, false, func(w *walk, _ string, _ int) error { return w.operator("reclone", name) }},
	"verify":  {1, false, false, func(w *walk, _ string, _ int) error { return w.operator("verify") }},
	"plan":    {1, false, false, func(w *walk, _ string, _ int) error { return w.operator("plan") }},
	"adopt": {3, false, false, func(w *walk, _ string, n int) error {
		content := w.program()
		switch n % 6 {
		case 3:
			content = append(content[:200:200], "half"...)
		case 4:
			content = []byte("#!/bin/sh\n")
		case 5:
			content, _ = readFile(w.copy(1))
		}
		from := w.beside("deploy/build")
		os.Remove(from)
		if err := w.create(from, content, 0o755); err != nil {
			return err
		}
		defer os.Remove(from)
		code, out, err := w.verb("adopt", name, from)
		w.tell("  adopt: %d %q", code, out)
		if err != nil {
			return broken(err.Error())
		}
		if code == 0 && !w.complete(content) {
			return broken("adopt has taken what is no program")
		}
		if code == 0 {
			w.put(content)
		}
		return nil
	}},
}

// broken is what a step has found wrong itself.
type broken string

func (b broken) Error() string { return string(b) }

func (w *walk) truncateAt(on string, size int64) error {
	path := places[on](w)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < size {
		return nil
	}
	at := kindOf(path)
	if err := w.truncate(path, size); err != nil {
		return err
	}
	if content, err := readFile(path); err == nil { // what was added to a program may be cut off
		w.inPlace(path, at, content)
		w.replaced(on, content)
	}
	return nil
}

// operator runs a verb that changes no program. Whatever comes of it, it comes to an end.
func (w *walk) operator(args ...string) error {
	code, out, err := w.verb(args...)
	w.tell("  %s: %d %.600q", args[0], code, out)
	if err != nil {
		return broken(err.Error())
	}
	return nil
}

// leave ends the daemon.
func (w *walk) leave(sig syscall.Signal) error {
	if w.d == nil {
		return nil
	}
	if w.d.ended() {
		return nil // settle tells
	}
	d := w.d
	if err := w.end(sig); err != nil {
		return broken(err.Error())
	}
	w.touched = false
	if sig == syscall.SIGTERM && d.cmd.ProcessState.ExitCode() != 0 && d.cmd.ProcessState.ExitCode() != 75 {
		return broken(fmt.Sprintf("stopped, the daemon ended so: %v", d.cmd.ProcessState))
	}
	return nil
}

// chattr sets or clears the immutable flag of a file or a directory.
func chattr(path string, immutable bool) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	const immutableFlag = 0x10 // FS_IMMUTABLE_FL
	flags &^= immutableFlag
	if immutable {
		flags |= immutableFlag
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags)
}

// fill takes what room is left.
func (d disk) fill() error {
	f, err := os.OpenFile(filepath.Join(d.point, "filler"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, unix.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			return err
		}
	}
	return f.Sync()
}

func (d disk) readOnly(is bool) error {
	var flags uintptr = unix.MS_REMOUNT
	if is {
		flags |= unix.MS_RDONLY
	}
	return unix.Mount("", d.point, "", flags, "")
}
