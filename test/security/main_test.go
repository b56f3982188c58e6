// Package security_test has the real daemon meet a local user who means it harm: names planted in its
// way, directories that are not its own, a crowd at its socket. SECURITY.md names these tests.
package security_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stranger is the user who means harm. There need be no such name.
const stranger = 65534

// roleEnv makes the test binary play that user.
const roleEnv = "RELINKD_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleEnv); role {
	case "":
		os.Exit(testMain(m))
	case "plant":
		play(plant(os.Args[1], os.Args[2], os.Args[3:]))
	case "molest":
		play(molest(os.Args[1], os.Args[2:]))
	case "ask":
		play(ask(os.Args[1], os.Args[2]))
	default:
		play(fmt.Errorf("no such role: %s", role))
	}
}

func play(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func testMain(m *testing.M) int {
	code := m.Run()
	if dir := built.dir; dir != "" {
		os.RemoveAll(dir)
	}
	return code
}

// built is the program under test, made once.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// relinkd is the path of the program under test, where every user can execute it.
func relinkd(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.err = build() })
	must(t, built.err)
	return built.dir + "/relinkd"
}

// build makes relinkd and, beside it, a copy of this program: go test keeps its own where others may
// not look.
func build() (err error) {
	if built.dir, err = os.MkdirTemp("", "rs-bin-"); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", built.dir+"/relinkd", "relinkd/cmd/relinkd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %s", err, out)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(built.dir+"/relinkd-stranger", self, 0o755)
	}
	for _, path := range []string{"", "/relinkd", "/relinkd-stranger"} {
		err = errors.Join(err, os.Chmod(built.dir+path, 0o755)) // whatever the umask
	}
	return err
}

// asStranger is this program in a role of the stranger's.
func asStranger(t testing.TB, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(relinkd(t)+"-stranger", args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	return cmd
}

// needsRoot ends a test that an ordinary user cannot do.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("left out, it needs root: acting as another user")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within polls until ok holds, and reports whether it did in time.
func within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(2 * time.Millisecond) // paces the question; nothing relies on it
	}
	return true
}
