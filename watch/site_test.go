package watch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
	"relinkd/linker"
	"relinkd/linker/launcher"
	"relinkd/pool"
)

// deadline is how long anything that is waited for may take, on a busy machine.
const deadline = 30 * time.Second

// name is the executable of the tests.
const name = "imapd"

// site is an install directory and the configuration of the daemons that run on it.
type site struct {
	t     testing.TB
	dir   string // where the executables are installed
	path  string // of the target NAME
	admin string // stands for /var/lib/dpkg and for rpm's database
	log   logs
	calls hooks

	receiveBuffer int  // Options.ReceiveBuffer
	quiet         bool // only errors are logged

	mu     sync.Mutex
	cfg    *config.Config // what is read at start and at reload
	cfgErr error          // or why it cannot be
}

// newSite is an install directory with nothing in it, and a target NAME in the configuration, of
// three copies, as edit changes it.
func newSite(t testing.TB, edit ...func(*config.Target)) *site {
	t.Helper()
	return newSiteIn(t, t.TempDir(), edit...)
}

// newSiteIn is newSite with everything below root.
func newSiteIn(t testing.TB, root string, edit ...func(*config.Target)) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(root, "bin"), admin: filepath.Join(root, "dpkg")}
	s.path = filepath.Join(s.dir, name)
	for _, dir := range []string{s.dir, filepath.Join(s.admin, "info")} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	for _, dir := range []string{root, s.dir} { // whatever the umask
		must(t, os.Chmod(dir, 0o755))
	}
	fstest.Passable(t, s.dir)
	s.cfg = &config.Config{
		Targets: []config.Target{s.target(name, edit...)},
		Census:  config.Census{Interval: time.Minute, Events: config.EventsAuto, Verify: time.Hour},
		State:   config.State{Dir: filepath.Join(root, "state")},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", s.log.String())
		}
	})
	return s
}

// target is a target of the site's directory.
func (s *site) target(name string, edit ...func(*config.Target)) config.Target {
	target := config.Target{
		Name:      name,
		Path:      filepath.Join(s.dir, name),
		Publish:   config.PublishSymlink,
		Copies:    3,
		MaxCopies: 3,
		Keep:      2,
		Threshold: 1000,
		RotateAt:  0.9,
		Rotation:  config.RotationAdaptive,
		Interval:  time.Hour,
		Settle:    config.Settle{Quiet: 50 * time.Millisecond, Max: 2 * time.Second},
	}
	for _, e := range edit {
		e(&target)
	}
	return target
}

func sidecar(t *config.Target) { t.Publish = config.PublishNone }

// The ways of publishing, all and those with something of ours at path.
var (
	ways      = []config.Publish{config.PublishSymlink, config.PublishLauncher, config.PublishNone}
	waysOurs  = ways[:2]
	onlyOther = ways[2:]
)

// published reports whether path is what that way of publishing puts there.
func (s *site) published(publish config.Publish) bool {
	if publish == config.PublishSymlink {
		text, err := os.Readlink(s.path)
		return err == nil && text == linker.PrivateDir+"/"+name
	}
	want, err := launcher.New(s.privateLink())
	must(s.t, err)
	content, err := os.ReadFile(s.path)
	return publish == config.PublishLauncher && err == nil && bytes.Equal(content, want)
}

// putOurs puts what that way of publishing has at path at another name, without relinkd.
func (s *site) putOurs(publish config.Publish, path string) {
	s.t.Helper()
	if publish == config.PublishSymlink {
		must(s.t, os.Symlink(linker.PrivateDir+"/"+name, path))
		return
	}
	content, err := launcher.New(s.privateLink())
	must(s.t, err)
	must(s.t, os.WriteFile(path, content, 0o755))
}

// backup gives what stands at path a further name, as dpkg does.
func (s *site) backup(to string) {
	s.t.Helper()
	if text, err := os.Readlink(s.path); err == nil {
		must(s.t, os.Symlink(text, to))
		return
	}
	must(s.t, os.Link(s.path, to))
}

// executable is what is executed by the name path: what a launcher there executes.
func executable(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open a fifo would wait for its other end
		return nil, fmt.Errorf("%s is %s", path, info.Mode())
	}
	content, err := os.ReadFile(path)
	if to, is := launcher.Executes(content); err == nil && is {
		return os.ReadFile(to)
	}
	return content, err
}

// configure changes what the next start or reload reads.
func (s *site) configure(edit func(*config.Config)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := *s.cfg
	changed.Targets = slices.Clone(s.cfg.Targets)
	edit(&changed)
	s.cfg, s.cfgErr = &changed, nil
}

// retarget changes the target NAME in the configuration.
func (s *site) retarget(edit func(*config.Target)) {
	s.configure(func(c *config.Config) { edit(&c.Targets[0]) })
}

func (s *site) load() (*config.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg, s.cfgErr
}

// install puts a version at path as dpkg does: a finished file, renamed into place.
func (s *site) install(version string) {
	s.t.Helper()
	must(s.t, standin.Write(s.path, version))
}

// file makes a version somewhere else, for cp and install to take.
func (s *site) file(version string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "build")
	must(s.t, standin.Write(path, version))
	return path
}

// In the install directory:
func (s *site) copy(n int) string       { return filepath.Join(s.dir, pool.CopyName(name, n)) }
func (s *site) privateLink() string     { return linker.PrivateLink(s.path) }
func (s *site) private(n string) string { return filepath.Join(s.dir, linker.PrivateDir, n) }
func (s *site) pristine() string        { return s.private(name + ".pristine") }
func (s *site) previous() string        { return s.private(name + ".previous") }

// options is what the site's Watchers are made with.
func (s *site) options() Options {
	log := zerolog.New(&s.log).With().Timestamp().Logger()
	if s.quiet {
		log = log.Level(zerolog.ErrorLevel)
	}
	return Options{
		Version:  "test",
		Log:      log,
		Load:     s.load,
		FS:       &fsys.FS{Before: s.calls.before},
		AdminDir: s.admin,
		RPMDirs:  []string{s.admin},

		ReceiveBuffer: s.receiveBuffer,
	}
}

// offline is a Watcher that does not run, closed with the test.
func (s *site) offline() *Watcher {
	s.t.Helper()
	cfg, err := s.load()
	must(s.t, err)
	w, err := New(cfg, s.options())
	must(s.t, err)
	s.t.Cleanup(func() { w.Close() }) // a second Close tells that it was closed
	return w
}

// daemon is a Watcher that runs.
type daemon struct {
	*Watcher
	s     *site
	quit  func()
	ended chan struct{}
	err   error // of Run, once it has ended
	once  sync.Once
}

// launch starts a daemon that is stopped with the test.
func (s *site) launch() *daemon {
	s.t.Helper()
	ctx, quit := context.WithCancel(context.Background())
	d := &daemon{Watcher: s.offline(), s: s, quit: quit, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		d.err = d.Run(ctx)
	}()
	s.t.Cleanup(d.stop)
	return d
}

// start starts a daemon and waits until it is ready.
func (s *site) start() *daemon {
	s.t.Helper()
	d := s.launch()
	select {
	case <-d.Ready():
	case <-d.ended:
		s.t.Fatalf("the daemon ended: %v", d.err)
	case <-time.After(deadline):
		s.t.Fatal("the daemon does not become ready")
	}
	return d
}

// stop stops the daemon.
func (d *daemon) stop() {
	d.once.Do(func() {
		d.quit()
		<-d.ended
		if d.err != nil && !errors.Is(d.err, ErrRestart) {
			d.s.t.Errorf("Run: %v", d.err)
		}
		if err := d.Close(); err != nil {
			d.s.t.Errorf("Close: %v", err)
		}
	})
}

// jobEnds is closed when the job that is under way is called off.
func (d *daemon) jobEnds() (ended <-chan struct{}) {
	d.s.t.Helper()
	l, err := d.find(name)
	must(d.s.t, err)
	must(d.s.t, l.do(d.s.t.Context(), l.gone, func() { ended = l.job.ctx.Done() }))
	return ended
}

// target is the status of the target NAME.
func (d *daemon) target() api.TargetStatus { return d.targetOf(name) }

func (d *daemon) targetOf(target string) api.TargetStatus {
	d.s.t.Helper()
	st, err := d.Status(context.Background())
	must(d.s.t, err)
	for _, t := range st.Targets {
		if t.Name == target {
			return t
		}
	}
	return api.TargetStatus{}
}

// within polls until cond holds, and reports whether it did in time.
func within(deadline time.Duration, cond func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			return false
		}
	}
	return true
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !within(deadline, cond) {
		t.Fatalf("waited %s in vain: %s", deadline, what)
	}
}

// waitFor waits until the status of the target NAME is as wanted, and returns it.
func (d *daemon) waitFor(what string, cond func(api.TargetStatus) bool) api.TargetStatus {
	d.s.t.Helper()
	return d.waitForTarget(name, what, cond)
}

func (d *daemon) waitForTarget(target, what string, cond func(api.TargetStatus) bool) (st api.TargetStatus) {
	d.s.t.Helper()
	if !within(deadline, func() bool { st = d.targetOf(target); return cond(st) }) {
		d.s.t.Fatalf("waited %s in vain: %s; the status is %+v", deadline, what, st)
	}
	return st
}

// degraded waits until the target NAME is degraded, and checks that the reason says so.
func (d *daemon) degraded(reason string) {
	d.s.t.Helper()
	d.waitFor("degraded: "+reason, func(st api.TargetStatus) bool {
		return st.State == api.Degraded && strings.Contains(st.Reason, reason)
	})
}

// steady waits until the version is in force and all is well, and checks what stands on disk.
func (d *daemon) steady(version string) api.TargetStatus {
	d.s.t.Helper()
	steady := func(st api.TargetStatus) bool {
		return st.State == api.Steady && st.Generation.SHA256 == sha(version) &&
			!slices.ContainsFunc(st.Copies, func(c api.CopyStatus) bool { return !c.Verified })
	}
	d.waitFor("steady with "+version, steady)
	must(d.s.t, d.Answer(context.Background())) // it may be in the midst of what it finds to do
	st := d.waitFor("steady with "+version, steady)
	d.s.inForce(version, st.Copies...)
	return st
}

// sha is the hash of a version of the stand-in.
func sha(version string) string {
	sum := sha256.Sum256(standin.ELF(version))
	return hex.EncodeToString(sum[:])
}

// lstat describes a file, the zero Info for none.
func lstat(t testing.TB, path string) fsys.Info {
	t.Helper()
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return fsys.Info{}
	}
	if err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return fsys.InfoOf(&st)
}

// holds fails the test unless path is, or leads to, a regular file with the content of a version.
func (s *site) holds(path, version string) {
	s.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(content, standin.ELF(version)) {
		s.t.Errorf("%s does not hold version %s (%v)", path, version, err)
	}
}

// inForce fails the test unless everything on disk is as it should be when a version is in force
// in the given copies, which are all that there are, and nothing else is left.
func (s *site) inForce(version string, copies ...api.CopyStatus) {
	s.t.Helper()
	cfg, err := s.load()
	must(s.t, err)
	target, _ := cfg.Target(name)
	source := s.path
	if target.Publish != config.PublishNone {
		source = s.pristine()
		if !s.published(target.Publish) {
			s.t.Errorf("path is no %s of ours", target.Publish)
		}
	}
	s.holds(source, version)
	if info := lstat(s.t, source); !info.IsRegular() {
		s.t.Errorf("%s is no regular file: %+v", source, info)
	}
	text, err := os.Readlink(s.privateLink())
	if err != nil || pool.CopyNumber(name, strings.TrimPrefix(text, "../")) == 0 {
		s.t.Errorf("the private link leads to %q (%v)", text, err)
	}
	want := lstat(s.t, source)
	known := []string{name, linker.PrivateDir}
	for _, c := range copies {
		at := filepath.Join(s.dir, c.Name)
		known = append(known, c.Name)
		s.holds(at, version)
		got := lstat(s.t, at)
		if got.Mode != want.Mode || got.UID != want.UID || got.GID != want.GID || got.Mtime != want.Mtime {
			s.t.Errorf("%s is %+v, its source %+v", at, got, want)
		}
		if got.Nlink != 1 || got.Ino != c.Inode || !c.Verified {
			s.t.Errorf("%s is %+v, shown as %+v", at, got, c)
		}
	}
	for _, file := range s.names(s.dir) {
		if !slices.Contains(known, file) {
			s.t.Errorf("%s is left in the install directory", file)
		}
	}
	s.onlyKnown()
}

// onlyKnown fails the test if anything but what has a meaning at rest is in the private directory.
func (s *site) onlyKnown() {
	s.t.Helper()
	for _, file := range s.names(s.private("")) {
		switch suffix := strings.TrimPrefix(file, name); {
		case suffix == "", suffix == ".pristine", suffix == ".previous", strings.HasPrefix(suffix, ".generation-"):
		default:
			if !strings.Contains(file, ".drifted") {
				s.t.Errorf("%s is left in the private directory", file)
			}
		}
	}
}

// plain fails the test unless the directory is as if there had never been a relinkd: a version at
// path, with the inode ino unless that is 0, and nothing else.
func (s *site) plain(version string, ino uint64) {
	s.t.Helper()
	s.holds(s.path, version)
	if got := lstat(s.t, s.path).Ino; ino != 0 && got != ino {
		s.t.Errorf("path has inode %d, want %d", got, ino)
	}
	if names := s.names(s.dir); !slices.Equal(names, []string{name}) {
		s.t.Errorf("left in the install directory: %v", names)
	}
}

// names lists a directory, nothing for a missing one.
func (s *site) names(dir string) (names []string) {
	s.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// runs fails the test unless executing path, or what it leads to, runs a version.
func (s *site) runs(path, version string) {
	s.t.Helper()
	pid := hold(s.t, path)
	defer release(s.t, pid)
	var content []byte
	eventually(s.t, "the launcher has executed the copy", func() bool {
		var err error
		content, err = os.ReadFile(fmt.Sprintf("/proc/%d/exe", pid))
		must(s.t, err)
		_, is := launcher.Executes(content)
		return !is
	})
	if !bytes.Equal(content, standin.ELF(version)) {
		s.t.Errorf("executing %s does not run version %s", path, version)
	}
}

// tree describes everything below dir in such detail that no change escapes it: types, modes, inodes,
// times, link texts and contents.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info := lstat(t, path)
		detail := ""
		switch {
		case info.IsSymlink():
			detail, err = os.Readlink(path)
		case info.IsRegular():
			var content []byte
			content, err = os.ReadFile(path)
			sum := sha256.Sum256(content)
			detail = hex.EncodeToString(sum[:])
		}
		all[path] = fmt.Sprintf("%+v %s", info, detail)
		return err
	}))
	return all
}

// unchanged fails the test if dir is not as it was described before.
func unchanged(t testing.TB, dir string, before map[string]string) {
	t.Helper()
	after := tree(t, dir)
	for path := range maps.Keys(after) {
		if before[path] != after[path] {
			t.Errorf("%s was changed:\n was %q\n  is %q", path, before[path], after[path])
		}
	}
	for path := range before {
		if _, there := after[path]; !there {
			t.Errorf("%s is gone", path)
		}
	}
}

// logs collects what a daemon logs, a JSON object a line.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// hooks runs ahead of the file-system calls of a site's daemons.
type hooks struct {
	mu   sync.Mutex
	seen map[fsys.Op]int
	hook map[fsys.Op]func(path string) error
	all  func(op fsys.Op, path string) error // runs before the others
}

func (h *hooks) before(op fsys.Op, path string) error {
	h.mu.Lock()
	if h.seen == nil {
		h.seen = map[fsys.Op]int{}
	}
	h.seen[op]++
	hook, all := h.hook[op], h.all
	h.mu.Unlock()
	if all != nil {
		if err := all(op, path); err != nil {
			return err
		}
	}
	if hook != nil {
		return hook(path)
	}
	return nil
}

// on has hook called ahead of each call labelled op; nil ends that.
func (h *hooks) on(op fsys.Op, hook func(path string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hook == nil {
		h.hook = map[fsys.Op]func(string) error{}
	}
	h.hook[op] = hook
}

// hold has the next call labelled op, for a path that contains part, wait until free is called; reached tells when
// it has begun to.
func (h *hooks) hold(op fsys.Op, part string) (reached <-chan struct{}, free func()) {
	at, goOn := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	h.on(op, func(path string) error {
		if strings.Contains(path, part) && !held.Swap(true) {
			close(at)
			<-goOn
		}
		return nil
	})
	return at, sync.OnceFunc(func() { close(goOn) })
}

// onAll has hook called ahead of each call; nil ends that.
func (h *hooks) onAll(hook func(op fsys.Op, path string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = hook
}

// count is how many calls were labelled op.
func (h *hooks) count(op fsys.Op) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[op]
}

// done fails the test unless one of the sentences of a report says so.
func said(t testing.TB, sentences []string, what string) {
	t.Helper()
	if !slices.ContainsFunc(sentences, func(s string) bool { return strings.Contains(s, what) }) {
		t.Errorf("nothing says %q: %q", what, sentences)
	}
}
