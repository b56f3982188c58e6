package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// long is a time that no test waits for: what is taken although Quiet is long came whole.
const long = time.Hour

func TestArrivesWhole(t *testing.T) {
	for _, tt := range []struct {
		name string
		come func(t *testing.T, s *site)
	}{
		{"rename", func(t *testing.T, s *site) { check(t, os.Rename(s.new, s.file)) }},
		{"mv from elsewhere", func(t *testing.T, s *site) {
			other := filepath.Join(filepath.Dir(s.dir), "built")
			check(t, os.Rename(s.new, other))
			run(t, "mv", other, s.file)
		}},
		{"link", func(t *testing.T, s *site) { check(t, os.Link(s.new, s.file)) }},
		{"over what stood there", func(t *testing.T, s *site) {
			check(t, os.Symlink(".relinkd/imapd", s.file))
			check(t, os.Rename(s.new, s.file))
		}},
		{"as dpkg does", func(t *testing.T, s *site) {
			tmp := s.file + ".dpkg-tmp"
			check(t, os.Symlink(".relinkd/imapd", s.file))
			check(t, os.Link(s.file, tmp))
			check(t, os.Rename(s.new, s.file))
			check(t, os.Remove(tmp))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, Options{Quiet: long, Max: long}).start()
			place(t, s.new, image(t, 0))
			tt.come(t, s)
			if _, err := s.settle(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestArrivesWritten(t *testing.T) {
	for _, tt := range []struct {
		name string
		come func(t *testing.T, s *site)
	}{
		{"cp", func(t *testing.T, s *site) { run(t, "cp", s.new, s.file) }},
		{"cp in place", func(t *testing.T, s *site) {
			place(t, s.file, image(t, 7))
			run(t, "cp", s.new, s.file)
		}},
		{"install", func(t *testing.T, s *site) { run(t, "install", "-m", "755", s.new, s.file) }},
		{"install over what stood there", func(t *testing.T, s *site) {
			check(t, os.Symlink(".relinkd/imapd", s.file))
			run(t, "install", "-m", "755", s.new, s.file)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const quiet = 300 * time.Millisecond
			s := newSite(t, Options{Quiet: quiet, Max: long}).start()
			place(t, s.new, image(t, 0))
			tt.come(t, s)
			waits, err := s.settle()
			if err != nil {
				t.Fatal(err)
			}
			file, err := fsys.Lstat(s.file)
			check(t, err)
			if rest := time.Since(file.ModTime()); waits == 0 || rest < quiet {
				t.Errorf("taken after %d waits, %v after the last write; want a rest of %v", waits, rest, quiet)
			}
			if !s.arrival.since.IsZero() {
				t.Error("the time that Max limits goes on although the file was taken")
			}
		})
	}
}

// TestArrivesUnseen judges what came before the watch by its times alone, with and without Run.
func TestArrivesUnseen(t *testing.T) {
	s := newSite(t, Options{Quiet: 200 * time.Millisecond, Max: long})
	place(t, s.file, image(t, 0))
	wait, err := s.look()
	if wait == 0 || !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), s.file) {
		t.Fatalf("a fresh file: wait %v, %v", wait, err)
	}
	if _, err := s.settle(); err != nil {
		t.Fatal(err)
	}
	s.start()
	if _, err := s.settle(); err != nil {
		t.Fatal(err)
	}
}

// TestArrivesAgainAndAgain has a writer that never rests for Quiet: Max takes the file.
func TestArrivesAgainAndAgain(t *testing.T) {
	const most = time.Second
	s := newSite(t, Options{Quiet: 400 * time.Millisecond, Max: most}).start()
	stop := make(chan struct{})
	ended := make(chan struct{})
	begun := time.Now()
	place(t, s.file, image(t, 0))
	go func() {
		defer close(ended)
		for {
			f, err := os.OpenFile(s.file, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Error(err)
				return
			}
			f.Write([]byte("x"))
			f.Close()
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	_, err := s.settle()
	if took := time.Since(begun); err != nil || took < most {
		t.Errorf("after %v: %v, want taken after %v", took, err, most)
	}
	close(stop)
	<-ended
}

// TestNeverClosed has a writer that keeps the file open: it is not taken, whatever Max is.
func TestNeverClosed(t *testing.T) {
	s := newSite(t, Options{Quiet: time.Millisecond, Max: 2 * time.Millisecond}).start()
	place(t, s.file, image(t, 0))
	f, err := os.OpenFile(s.file, os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	refusals := 0
	await(t, "refusals", func() bool {
		wait, err := s.look()
		if err == nil || wait == 0 {
			t.Fatalf("wait %v, %v: a file with a writer must wait", wait, err)
		}
		if errors.Is(err, ErrWriting) {
			refusals++
		}
		return refusals == 3
	})
	f.Close()
	if _, err := s.settle(); err != nil {
		t.Errorf("when it was closed: %v", err)
	}
}

// TestWrittenSlowly has a file that is whole to look at only in the end and has long pauses.
func TestWrittenSlowly(t *testing.T) {
	s := newSite(t, Options{Quiet: time.Millisecond, Max: 2 * time.Millisecond}).start()
	data := image(t, 0)
	for _, part := range []int{0, 100, len(data) - 1} {
		place(t, s.file, data[:part])
		await(t, "ErrTruncated", func() bool {
			_, err := s.look()
			if err == nil {
				t.Fatalf("%d of %d bytes were taken", part, len(data))
			}
			return errors.Is(err, ErrTruncated)
		})
	}
	place(t, s.file, data)
	if _, err := s.settle(); err != nil {
		t.Error(err)
	}
}

// TestRefusedThenMended sees the chmod that makes a file acceptable.
func TestRefusedThenMended(t *testing.T) {
	s := newSite(t, Options{Quiet: long, Max: long}).start()
	place(t, s.new, image(t, 0))
	check(t, os.Chmod(s.new, 0o644))
	check(t, os.Rename(s.new, s.file))
	if _, err := s.settle(); err == nil || isIncomplete(err) {
		t.Fatalf("a file without execute permission: %v", err)
	}
	select {
	case <-s.C():
	default:
	}
	check(t, os.Chmod(s.file, 0o755))
	s.heard("chmod")
	if _, err := s.settle(); err != nil {
		t.Error(err)
	}
}

func TestAbsence(t *testing.T) {
	s := newSite(t, Options{Grace: long}).start()
	if _, absent := s.AbsentSince(); absent {
		t.Error("absent before anyone looked")
	}
	place(t, s.file, image(t, 0))
	for _, gone := range []func(){
		func() { run(t, "rm", s.file) },
		func() { run(t, "mv", s.file, s.file+".old") },
	} {
		begun := time.Now()
		gone()
		s.heard("gone")
		await(t, "absence", func() bool { _, absent := s.AbsentSince(); return absent })
		since, _ := s.AbsentSince()
		if since.Before(begun) || since.After(time.Now()) {
			t.Errorf("absent since %v, not in the test", since)
		}
		if wait := s.NoteAbsent(since.Add(time.Minute)); wait != long-time.Minute {
			t.Errorf("wait %v, want %v", wait, long-time.Minute)
		}
		if wait := s.NoteAbsent(since.Add(long)); wait != 0 {
			t.Errorf("wait %v when it has lasted", wait)
		}
		check(t, os.Symlink(".relinkd/imapd", s.file))
		await(t, "the end of the absence", func() bool { _, absent := s.AbsentSince(); return !absent })
	}
	s.NoteAbsent(time.Now())
	s.NotePresent(false)
	if _, absent := s.AbsentSince(); absent {
		t.Error("absent although the caller saw it")
	}
}

// TestTouched names the copies that something happened to, and nothing else.
func TestTouched(t *testing.T) {
	s := newSite(t, Options{})
	copyPath := func(n int) string { return s.file + fmt.Sprintf("_%03d", n) }
	for n := 1; n <= 5; n++ {
		place(t, copyPath(n), image(t, 0))
	}
	s.start()
	check(t, os.Chmod(copyPath(1), 0o700))
	check(t, os.Truncate(copyPath(2), 3))
	check(t, os.Remove(copyPath(3)))
	check(t, os.Rename(copyPath(4), s.file+".relinkd"))
	want := []string{"imapd_001", "imapd_002", "imapd_003", "imapd_004"}
	var got []string
	await(t, "four copies", func() bool {
		names, all := s.TakeTouched()
		if all {
			t.Fatal("all are touched though no event was lost")
		}
		got = append(got, names...)
		slices.Sort(got)
		got = slices.Compact(got)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("touched %v, want %v", got, want)
	}
}

// TestNeighbours makes 10,000 other names: not one receipt.
func TestNeighbours(t *testing.T) {
	s := newSite(t, Options{}).start()
	check(t, os.Mkdir(filepath.Join(s.dir, ".relinkd"), 0o755))
	check(t, os.WriteFile(filepath.Join(s.dir, ".relinkd", "imapd"), nil, 0o644))
	for _, name := range []string{"imapd.dpkg-new", "imapd.dpkg-tmp", "imapd;6b04a258", "imapd_1", "imapd_0001", "imapd_00x", "imapd_001.new", "ximapd_001", "IMAPD"} {
		place(t, filepath.Join(s.dir, name), nil)
	}
	receipts, end := make(chan int, 1), make(chan struct{})
	defer close(end)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-s.C():
			case <-end:
				return
			}
			if names, all := s.TakeTouched(); all || len(names) != 0 {
				receipts <- n
				return
			}
		}
	}()
	for n := range 10_000 {
		check(t, os.Symlink("x", filepath.Join(s.dir, "neighbour"+strconv.Itoa(n))))
	}
	check(t, os.Symlink("x", s.file+"_001")) // in the queue behind all others
	select {
	case n := <-receipts:
		if n != 1 && s.Overflows() == 0 {
			t.Errorf("the event of a copy was receipt number %d, want 1", n)
		}
	case <-time.After(deadline):
		t.Error("the event of a copy was no receipt")
	}
}

// TestChattyNeighbour has a neighbour that never stops writing: it keeps nothing from settling.
func TestChattyNeighbour(t *testing.T) {
	s := newSite(t, Options{Quiet: 50 * time.Millisecond, Max: long}).start()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		f, err := os.Create(filepath.Join(s.dir, "imapd.log"))
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for {
			f.WriteAt([]byte("x"), 0)
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	place(t, s.file, image(t, 0))
	if _, err := s.settle(); err != nil {
		t.Error(err)
	}
	close(stop)
	<-ended
}

// TestLost marks everything when the kernel says that it dropped events.
func TestLost(t *testing.T) {
	s := newSite(t, Options{}).start()
	s.dirs.mu.Lock()
	in := s.dirs.inotify
	s.dirs.mu.Unlock()
	for n, err := range []error{fsnotify.ErrEventOverflow, errors.New("read: input/output error")} {
		in.Errors <- err
		s.heard(err.Error())
		if _, all := s.TakeTouched(); !all {
			t.Errorf("%v: not all are touched", err)
		}
		if got := s.Overflows(); got != 1 {
			t.Errorf("after %d errors, of which the first is an overflow: %d overflows", n+1, got)
		}
	}
}

// TestOverflow has the kernel drop events: an instance with a queue of one.
func TestOverflow(t *testing.T) {
	skipUnlessRoot(t, "a real overflow, which takes a lower fs.inotify.max_queued_events")
	const knob = "/proc/sys/fs/inotify/max_queued_events"
	was, err := os.ReadFile(knob)
	check(t, err)
	if err := os.WriteFile(knob, []byte("1"), 0); err != nil {
		t.Skipf("left out, a real overflow: %v", err)
	}
	s := newSite(t, Options{}).start() // an instance keeps the limit of when it was made
	check(t, os.WriteFile(knob, was, 0))
	end := time.Now().Add(deadline)
	for n := 0; s.Overflows() == 0; n++ {
		if time.Now().After(end) {
			t.Fatal("no overflow")
		}
		check(t, os.WriteFile(filepath.Join(s.dir, strconv.Itoa(n%100)), []byte("x"), 0o644))
	}
	s.heard("overflow")
	if _, all := s.TakeTouched(); !all {
		t.Error("not all are touched")
	}
}

// renewed checks that the Watcher, deaf until now, watches what stands there now.
func (s *site) renewed() {
	s.t.Helper()
	await(s.t, "a new watch", func() bool { // fsnotify may not have read yet that the old one ended
		check(s.t, s.Check())
		select {
		case <-s.C():
			return true
		default:
			return false
		}
	})
	if _, all := s.TakeTouched(); !all {
		s.t.Error("not all are touched after a time without events")
	}
	check(s.t, os.Symlink("x", s.file+"_007")) // one event: a later one would be heard as the next renewal
	s.heard("a copy in the directory watched anew")
	if names, _ := s.TakeTouched(); !slices.Equal(names, []string{"imapd_007"}) {
		s.t.Errorf("touched %v", names)
	}
}

func TestDirectory(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(t *testing.T, dir string)
		back func(t *testing.T, dir string)
	}{
		{"deleted", func(t *testing.T, dir string) { check(t, os.Remove(dir)) },
			func(t *testing.T, dir string) { check(t, os.Mkdir(dir, 0o755)) }},
		{"renamed", func(t *testing.T, dir string) { check(t, os.Rename(dir, dir+".old")) },
			func(t *testing.T, dir string) { check(t, os.Mkdir(dir, 0o755)) }},
		{"renamed and back", func(t *testing.T, dir string) { check(t, os.Rename(dir, dir+".old")) },
			func(t *testing.T, dir string) { check(t, os.Rename(dir+".old", dir)) }},
		{"replaced by a file", func(t *testing.T, dir string) { check(t, os.Remove(dir)); check(t, os.WriteFile(dir, nil, 0o644)) },
			func(t *testing.T, dir string) { check(t, os.Remove(dir)); check(t, os.Mkdir(dir, 0o755)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, Options{}).start()
			check(t, s.Check())
			tt.lose(t, s.dir)
			s.heard("the directory is gone")
			await(t, "deaf", func() bool { return s.Check() != nil })
			if err := s.Check(); err == nil || !strings.Contains(err.Error(), "cannot watch "+s.dir) {
				t.Errorf("deaf: %v", err)
			}
			if _, all := s.TakeTouched(); !all {
				t.Error("not all are touched while deaf")
			}
			tt.back(t, s.dir)
			s.renewed()
		})
	}
}

// TestDirectoryMissing starts without a directory.
func TestDirectoryMissing(t *testing.T) {
	s := newSite(t, Options{})
	check(t, os.Remove(s.dir))
	s.start()
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("deaf: %v", err)
	}
	check(t, os.Mkdir(s.dir, 0o755))
	s.renewed()
}

// TestDirectoryExchanged moves another directory there without a moment of absence: the parent's
// symbolic link changes, of which inotify says nothing.
func TestDirectoryExchanged(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a", "b"} {
		check(t, os.Mkdir(filepath.Join(root, name), 0o755))
	}
	link := filepath.Join(root, "bin")
	check(t, os.Symlink("a", link))
	s := newSite(t, Options{Path: filepath.Join(link, "imapd")}).start()
	s.dir, s.file = link, filepath.Join(link, "imapd")
	check(t, os.Symlink("b", link+".new"))
	check(t, os.Rename(link+".new", link))
	s.renewed()
	if n := inotifyWatches(t); n != 1 {
		t.Errorf("%d directories are under watch, want one", n)
	}
}

// inotifyWatches counts the directories that this process has under watch.
func inotifyWatches(t *testing.T) (n int) {
	t.Helper()
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	check(t, err)
	for _, info := range infos {
		text, err := os.ReadFile(info)
		if err == nil { // the descriptor may be gone
			n += strings.Count(string(text), "inotify wd:")
		}
	}
	return n
}

// TestUnmounted ends the watch without an event; another file system of the same device number and
// root inode may come next.
func TestUnmounted(t *testing.T) {
	skipUnlessRoot(t, "a directory that is mounted and unmounted")
	s := newSite(t, Options{})
	mount := func() {
		t.Helper()
		if err := unix.Mount("tmpfs", s.dir, "tmpfs", 0, "size=1m,mode=755"); err != nil {
			t.Skipf("left out, an unmounted directory: cannot mount a tmpfs: %v", err)
		}
	}
	unmount := func() { unix.Unmount(s.dir, unix.MNT_DETACH) }
	mount()
	t.Cleanup(unmount)
	s.start()
	check(t, s.Check())

	check(t, unix.Unmount(s.dir, 0))
	s.renewed() // the directory below
	mount()     // over it: it stays under watch, but is not what stands there
	s.renewed()
	check(t, unix.Unmount(s.dir, 0))
	mount()
	s.renewed()
}

// TestNoInotify has no instance left for a Watcher, until there is.
func TestNoInotify(t *testing.T) {
	var was unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	s := newSite(t, Options{})
	low := was
	low.Cur = 3
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &was)
	s.start()
	err := s.Check()
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was))
	if err == nil || !strings.Contains(err.Error(), "max_user_instances") {
		t.Errorf("without a descriptor to spare: %v", err)
	}
	s.renewed()
}

func TestIsCopy(t *testing.T) {
	for file, want := range map[string]bool{
		"imapd_001": true, "imapd_999": true, "imapd": false, "imapd_": false, "imapd_01": false,
		"imapd_0001": false, "imapd_+01": false, "imapd-001": false, "jmapd_001": false, "imapd_001.new": false,
	} {
		if got := isCopy("imapd", file); got != want {
			t.Errorf("isCopy(%s) = %v", file, got)
		}
	}
}
