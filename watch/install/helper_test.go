package install

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// deadline is how long a test waits for what must happen; it is reached only by a failure.
const deadline = 20 * time.Second

// roleEnv makes the test binary play another process.
const roleEnv = "RELINKD_INSTALL_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "lock":
		playLocker(os.Args[1], os.Args[2])
	case "lease":
		playLeaseBreaker(os.Args[1])
	}
}

// play is a command that plays a role in a process of its own.
func play(program, role string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	// The race detector would have it linger for a second at its end.
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// playLocker takes a record lock on a file, "read" or "write", says so, and keeps it until its
// standard input ends.
func playLocker(path, kind string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if kind == "read" {
		lock.Type = unix.F_RDLCK
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		panic(err)
	}
	fmt.Println("held")
	io.Copy(io.Discard, os.Stdin)
}

// holdLock lets another process hold a lock on path until release is called or the test ends.
func holdLock(t *testing.T, path, kind string) (pid int, release func()) {
	t.Helper()
	cmd := play("/proc/self/exe", "lock", path, kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	done := false
	release = func() {
		if !done {
			done = true
			in.Close()
			cmd.Wait()
		}
	}
	t.Cleanup(release)
	if _, err := io.ReadFull(out, make([]byte, len("held\n"))); err != nil {
		t.Fatalf("the locker did not take its lock: %v", err)
	}
	return cmd.Process.Pid, release
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a program to its end.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// await waits until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", deadline, what)
		}
		time.Sleep(time.Millisecond) // paces the question; nothing relies on it
	}
}

// skipUnlessRoot ends a test that an ordinary user cannot do, saying what is left out.
func skipUnlessRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out, it needs root: " + what)
	}
}

// image is a small executable of this machine; tail makes it longer, and another one.
func image(t testing.TB, tail int) []byte {
	host, err := native()
	if err != nil {
		t.Fatal(err)
	}
	return imageOf(host, tail)
}

// imageOf builds an ELF file with one segment and two sections, the section headers last.
func imageOf(a abi, tail int) []byte {
	var b bytes.Buffer
	body := bytes.Repeat([]byte{0x90}, 256+tail)
	put := func(v any) { binary.Write(&b, a.order(), v) }
	var id [elf.EI_NIDENT]byte
	copy(id[:], elf.ELFMAG)
	id[elf.EI_CLASS], id[elf.EI_DATA], id[elf.EI_VERSION] = byte(a.class), byte(a.data), 1
	if a.class == elf.ELFCLASS32 {
		start := uint32(52 + 32)
		put(elf.Header32{Ident: id, Type: uint16(elf.ET_DYN), Machine: uint16(a.machine), Version: 1, Phoff: 52,
			Shoff: start + uint32(len(body)), Ehsize: 52, Phentsize: 32, Phnum: 1, Shentsize: 40, Shnum: 2})
		put(elf.Prog32{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: start, Filesz: 128, Memsz: 128})
		b.Write(body)
		put(elf.Section32{})
		put(elf.Section32{Type: uint32(elf.SHT_PROGBITS), Off: start, Size: uint32(len(body))})
		return b.Bytes()
	}
	start := uint64(64 + 56)
	put(elf.Header64{Ident: id, Type: uint16(elf.ET_DYN), Machine: uint16(a.machine), Version: 1, Phoff: 64,
		Shoff: start + uint64(len(body)), Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: 2})
	put(elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: start, Filesz: 128, Memsz: 128})
	b.Write(body)
	put(elf.Section64{})
	put(elf.Section64{Type: uint32(elf.SHT_PROGBITS), Off: start, Size: uint64(len(body))})
	return b.Bytes()
}

// place writes an executable somewhere, with its mode whatever the umask is.
func place(t *testing.T, path string, data []byte) {
	t.Helper()
	check(t, os.WriteFile(path, data, 0o755))
	check(t, os.Chmod(path, 0o755))
}

// site is a directory with a Watcher on its file imapd.
type site struct {
	*Watcher
	t    *testing.T
	dir  string
	file string // path
	new  string // a complete executable in another name of the directory
}

// newSite makes a directory; its package databases are empty.
func newSite(t *testing.T, o Options) *site {
	t.Helper()
	root := t.TempDir()
	s := &site{t: t, dir: filepath.Join(root, "bin")}
	check(t, os.Mkdir(s.dir, 0o755))
	check(t, os.Chmod(s.dir, 0o755))
	check(t, os.Chmod(root, 0o755))
	s.file = filepath.Join(s.dir, "imapd")
	s.new = filepath.Join(s.dir, "imapd.dpkg-new")
	if o.Path == "" {
		o.Path = s.file
	}
	if o.AdminDir == "" {
		o.AdminDir = filepath.Join(root, "dpkg")
	}
	if o.RPMDirs == nil {
		o.RPMDirs = []string{filepath.Join(root, "rpm")}
	}
	s.Watcher = New(o)
	return s
}

// start runs the Watcher until the test ends.
func (s *site) start() *site {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
	<-s.Ready()
	s.TakeTouched()
	select {
	case <-s.C():
	default:
	}
	return s
}

// look asks Arrival once about what stands at path.
func (s *site) look() (wait time.Duration, err error) {
	dir, err := fsys.OpenDir(s.dir, nil)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	f, err := dir.Open("imapd")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return s.Arrival(f, time.Now())
}

// settle asks Arrival again and again, as a caller does, until it takes or refuses the file. It
// returns how often it was told to wait.
func (s *site) settle() (waits int, err error) {
	s.t.Helper()
	end := time.After(deadline)
	for {
		wait, err := s.look()
		if err == nil || wait == 0 && !errors.Is(err, unix.ENOENT) {
			return waits, err
		}
		waits++
		if errors.Is(err, unix.ENOENT) {
			wait = deadline
		}
		select {
		case <-s.C():
		case <-time.After(wait):
		case <-end:
			s.t.Fatalf("not settled within %v: %v", deadline, err)
		}
	}
}

// heard waits for C.
func (s *site) heard(what string) {
	s.t.Helper()
	select {
	case <-s.C():
	case <-time.After(deadline):
		s.t.Fatalf("C did not receive: %s", what)
	}
}
