package pool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

// fixture is a pool of imapd in a directory of the test's.
type fixture struct {
	*Pool
	t    testing.TB
	hook *hook
	dir  string // the install directory
}

// hook is what the pool's changing calls meet. Stage calls it from several goroutines.
type hook struct {
	mu     sync.Mutex
	called []fsys.Op
	before map[fsys.Op]func(path string) error
}

func (h *hook) Before(op fsys.Op, path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.called = append(h.called, op)
	if f := h.before[op]; f != nil {
		return f(path)
	}
	return nil
}

// on has f called ahead of each call labelled op.
func (h *hook) on(op fsys.Op, f func(path string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before[op] = f
}

// once has f called ahead of the first call labelled op from now on.
func (h *hook) once(op fsys.Op, f func(path string) error) {
	done := false
	h.on(op, func(path string) error {
		if done {
			return nil
		}
		done = true
		return f(path)
	})
}

// reset forgets what was called and what to call.
func (h *hook) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.called, h.before = nil, map[fsys.Op]func(string) error{}
}

// ops is the labels called since reset, each once, sorted.
func (h *hook) ops() []fsys.Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(h.called)))
}

// fails is a hook function that fails with EIO.
func fails(string) error { return unix.EIO }

// newFixture is an empty pool in dir, which it opens.
func newFixture(t testing.TB, dir string) *fixture {
	t.Helper()
	h := &hook{}
	h.reset()
	if err := os.Mkdir(filepath.Join(dir, ".relinkd"), 0o755); err != nil {
		t.Fatal(err)
	}
	install, err := fsys.OpenDir(dir, &fsys.FS{Before: h.Before})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { install.Close() })
	private, err := install.OpenDir(".relinkd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { private.Close() })
	return &fixture{Pool: New(install, private, "imapd"), t: t, hook: h, dir: dir}
}

func (x *fixture) path(name string) string { return filepath.Join(x.dir, name) }

// copyPath is the path of copy n.
func (x *fixture) copyPath(n int) string { return x.path(CopyName("imapd", n)) }

// write makes a file of the install directory, or gives the one that is there new content in place.
func (x *fixture) write(name, content string) {
	x.t.Helper()
	if err := os.WriteFile(x.path(name), []byte(content), 0o755); err != nil {
		x.t.Fatal(err)
	}
}

func (x *fixture) content(name string) string {
	x.t.Helper()
	content, err := os.ReadFile(x.path(name))
	if err != nil {
		x.t.Fatal(err)
	}
	return string(content)
}

// source reads the source called name, which is closed when the test is over.
func (x *fixture) source(name string) *Source {
	x.t.Helper()
	f, err := os.Open(x.path(name))
	if err != nil {
		x.t.Fatal(err)
	}
	src, err := ReadSource(context.Background(), f)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { src.Close() })
	return src
}

// makeSource makes a file with the content and reads it.
func (x *fixture) makeSource(name, content string) *Source {
	x.t.Helper()
	x.write(name, content)
	return x.source(name)
}

func (x *fixture) stage(src *Source, numbers ...int) *Staged {
	x.t.Helper()
	s, err := x.Stage(context.Background(), src, numbers)
	if err != nil {
		x.t.Fatal(err)
	}
	return s
}

// make stages and commits copies.
func (x *fixture) make(src *Source, numbers ...int) []Copy {
	x.t.Helper()
	copies, err := x.stage(src, numbers...).Commit(context.Background())
	if err != nil {
		x.t.Fatal(err)
	}
	return copies
}

// private lists relinkd's own directory.
func (x *fixture) privateNames() []string {
	x.t.Helper()
	entries, err := os.ReadDir(x.path(".relinkd"))
	if err != nil {
		x.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (x *fixture) wantPrivate(names ...string) {
	x.t.Helper()
	if diff := cmp.Diff(names, x.privateNames()); diff != "" {
		x.t.Errorf("files in .relinkd (-want +got):\n%s", diff)
	}
}

// wantOwned sees that exactly the copies numbers are owned, and that what is recorded of them is
// what stands there.
func (x *fixture) wantOwned(numbers ...int) {
	x.t.Helper()
	var owned []int
	for _, c := range x.Owned() {
		owned = append(owned, c.Number)
		if info := lstat(x.t, x.copyPath(c.Number)); info != c.Info {
			x.t.Errorf("copy %d is recorded as %+v, but is %+v", c.Number, c.Info, info)
		}
	}
	if diff := cmp.Diff(numbers, owned); diff != "" {
		x.t.Errorf("owned copies (-want +got):\n%s", diff)
	}
}

// wantEqual sees that copy n equals the file called name in all that a copy shares, without asking
// the pool.
func (x *fixture) wantEqual(name string, n int) {
	x.t.Helper()
	want, got := lstat(x.t, x.path(name)), lstat(x.t, x.copyPath(n))
	if got.ID == want.ID {
		x.t.Errorf("copy %d is %s itself", n, name)
	}
	want.ID, want.Ctime, want.Nlink = got.ID, got.Ctime, got.Nlink
	if diff := cmp.Diff(want, got); diff != "" {
		x.t.Errorf("copy %d differs from %s (-want +got):\n%s", n, name, diff)
	}
	if x.content(name) != x.content(CopyName("imapd", n)) {
		x.t.Errorf("content of copy %d differs from %s", n, name)
	}
	if diff := cmp.Diff(attributes(x.t, x.path(name)), attributes(x.t, x.copyPath(n))); diff != "" {
		x.t.Errorf("extended attributes of copy %d differ from %s (-want +got):\n%s", n, name, diff)
	}
}

func wantForeign(t testing.TB, err error, name string) {
	t.Helper()
	var foreign *ForeignError
	if !errors.As(err, &foreign) || foreign.Name != name || !strings.Contains(err.Error(), foreign.Path) {
		t.Errorf("error %v, want a ForeignError of %s", err, name)
	}
}

func lstat(t testing.TB, path string) fsys.Info {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fsys.InfoOf(&st)
}

// attributes reads the extended attributes of the file at path by the calls for paths.
func attributes(t testing.TB, path string) map[string]string {
	t.Helper()
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for name := range bytes.SplitSeq(bytes.TrimRight(list[:n], "\x00"), []byte{0}) {
		if len(name) == 0 {
			continue
		}
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			t.Fatalf("%s of %s: %v", name, path, err)
		}
		all[string(name)] = string(value[:n])
	}
	return all
}

// capability is the attribute security.capability with CAP_NET_BIND_SERVICE permitted and
// effective: struct vfs_cap_data of linux/capability.h, revision 2.
func capability() []byte {
	const revision2, effective, netBindService = 0x02000000, 1, 10
	var b []byte
	for _, word := range []uint32{revision2 | effective, 1 << netBindService, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	return b
}

// accessList is the attribute system.posix_acl_access that lets one more user in: struct
// posix_acl_xattr_header and its entries, linux/posix_acl_xattr.h.
func accessList(user uint32) []byte {
	const version, none = 2, 0xffffffff
	b := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{
		{0x01, 7, none}, // owner
		{0x02, 5, user}, // a named user
		{0x04, 5, none}, // group
		{0x10, 5, none}, // mask
		{0x20, 1, none}, // others
	} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// adorn gives the file at path all that a copy must share: an odd owner, set-id bits, a
// modification time with nanoseconds, and attributes of every kind. Without root it does what an
// ordinary user can.
func adorn(t *testing.T, path string) {
	t.Helper()
	xattrs := map[string][]byte{"user.comment": []byte("as packaged"), "user.empty": {}}
	mode := uint32(0o6755)
	if os.Geteuid() == 0 {
		xattrs["security.capability"] = capability()
		xattrs["security.selinux"] = []byte("system_u:object_r:cyrus_exec_t:s0\x00")
		xattrs["system.posix_acl_access"] = accessList(4321)
		xattrs["trusted.relinkd-test"] = []byte{0, 1, 2}
		mode = 0o6751 // as the access list says
		if err := unix.Chown(path, 1234, 5678); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Log("not root: left out a foreign owner, capabilities, an access list, a SELinux label and trusted attributes")
	}
	if err := unix.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(xattrs)) {
		if err := unix.Lsetxattr(path, name, xattrs[name], 0); err != nil {
			t.Fatalf("set %s of %s: %v", name, path, err)
		}
	}
	if err := unix.Chmod(path, mode); err != nil { // setting an access list may clear the set-id bits
		t.Fatal(err)
	}
	setMtime(t, path, 1_234_567_890_123_456_789)
}

func setMtime(t testing.TB, path string, nanoseconds int64) {
	t.Helper()
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(nanoseconds)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		t.Fatal(err)
	}
}

func execute(t testing.TB, path string) {
	t.Helper()
	if out, err := exec.Command(path).CombinedOutput(); err != nil {
		t.Errorf("executing %s: %v: %s", path, err, out)
	}
}

// onEach runs fn on each file system with an empty pool and the packaged executable as its source.
func onEach(t *testing.T, fn func(t *testing.T, x *fixture)) {
	fstest.Each(t, func(t *testing.T, dir string) { fn(t, newFixture(t, dir)) })
}

// onScratch is an empty pool on the scratch directory's file system.
func onScratch(t *testing.T) *fixture { return newFixture(t, t.TempDir()) }
