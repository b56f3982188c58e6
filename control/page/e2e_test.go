package page

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// site is a real relinkd with its configuration, and what it manages.
type site struct {
	t                     *testing.T
	program, config, path string
	address               string // of the page
}

// newSite builds the program, and makes a directory with a stand-in for imapd, of which four processes on
// one copy are reason to move on.
func newSite(t *testing.T) *site {
	t.Helper()
	root := fstest.Passable(t, t.TempDir())
	s := &site{
		t: t, program: filepath.Join(root, "relinkd"), config: filepath.Join(root, "relinkd.toml"),
		path: filepath.Join(root, "bin", "imapd"), address: freeAddress(t),
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", s.program, "../../cmd/relinkd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build relinkd: %v\n%s", err, out)
	}
	for _, dir := range []string{filepath.Dir(s.path), filepath.Join(root, "state")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := standin.Write(s.path, "1"); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
target.imapd = { path = %q, copies = 5, threshold = 8, rotate_at = 0.5 }
census.interval = "100ms"
control.socket = %q
metrics.listen = %q
state.dir = %q
`, s.path, filepath.Join(root, "sock"), s.address, filepath.Join(root, "state"))
	if err := os.WriteFile(s.config, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// freeAddress is an address of this host at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (s *site) url() string { return "http://" + s.address + "/" }

// run starts the daemon, waits until it serves the page, and returns what ends it.
func (s *site) run() (stop func()) {
	s.t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(s.program, "run", "--config", s.config)
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stop = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := <-done; err != nil {
			s.t.Errorf("relinkd run: %v\n%s", err, said.String())
		}
	})
	s.t.Cleanup(stop)
	for deadline := time.After(patience); ; {
		if c, err := net.Dial("tcp", s.address); err == nil {
			c.Close()
			return stop
		}
		select {
		case err := <-done:
			done <- nil
			s.t.Fatalf("relinkd run has ended by itself: %v\n%s", err, said.String())
		case <-deadline:
			s.t.Fatalf("relinkd serves nothing at %s", s.address)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// spawn starts n processes by the name that everybody executes, which run until the test ends.
func (s *site) spawn(n int) {
	s.t.Helper()
	for range n {
		cmd := exec.Command(s.path)
		input, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { end(input, cmd) })
	}
}

// end ends a process, which ends with its input.
func end(input io.Closer, cmd *exec.Cmd) {
	input.Close()
	cmd.Wait()
}

// withDaemon looks at a real daemon: what it does shows while it does it.
func withDaemon(t *testing.T, b context.Context) {
	s := newSite(t)
	stop := s.run()
	p := open(t, b, s.url(), 1000)
	p.says("#link", "live")
	p.says(".target .state", "steady")
	p.says(".target .where", s.path)
	p.await(`document.querySelectorAll("button.cell").length === 5`)
	p.says(".against", "mark 4")
	p.says(".against", "threshold 8")
	p.await(`document.querySelector("[aria-current]").dataset.number === "1"`)
	p.says("#log", "steady")

	s.spawn(4)
	p.await(cell(1) + `.querySelector(".n").textContent === "4" && ` + cell(1) + `.dataset.step === "mark"`)
	p.await(`document.querySelector("[aria-current]").dataset.number !== "1"`)
	p.says("#log > li", "rotation")
	p.says("#log > li", "imapd_001")
	p.says(".totals", "1 threshold")
	p.await(`document.querySelector(".chart.rotations svg").getAttribute("aria-label").startsWith("Rotations: 1 rotation in")`)
	p.await(`document.querySelector(".chart.processes svg").getAttribute("aria-label").startsWith("Processes on copies: 4 now")`)

	stop()
	p.says("#link", "reconnecting since")
	s.run()
	p.says("#link", "live")
	p.says("#log > li", "state") // it remembers nothing of the one before
	p.await(`!document.querySelector("#log").innerText.includes("rotation")`)
	p.await(cell(1) + `.querySelector(".n").textContent === "4"`)
	p.content(s.url())
}
