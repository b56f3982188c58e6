package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/internal/faults"
)

// flood is how many connections are opened at once.
const flood = 1000

// actAsFlood opens connections of each of the kinds, says "open", waits for a line, and then says of
// how many the server had let go by then and that it lets go of the rest.
func actAsFlood(socket string) {
	kinds := []string{
		"",                               // silent
		"GET /v1/sta",                    // half a header
		"GET /v1/status HTTP/1.1\r\nA: ", // and a bit more
		"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", // half a body
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",                         // TLS
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	}
	conns := make([]net.Conn, 0, flood)
	for i := range flood {
		c, err := net.Dial("unix", socket)
		if err != nil {
			fmt.Println("failed", err)
			return
		}
		c.Write([]byte(kinds[i%len(kinds)])) // the server may have closed it already
		conns = append(conns, c)
	}
	var left sync.WaitGroup
	for _, c := range conns {
		left.Go(func() {
			buf := make([]byte, 4096)
			for {
				if _, err := c.Read(buf); err != nil {
					break
				}
			}
		})
	}
	fmt.Println("open")
	bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Println("gone", countClosed(conns))
	left.Wait()
	fmt.Println("all gone")
}

// countClosed returns how many connections the other end has closed by now, as the kernel knows it: whoever reads
// from them may hear of that later.
func countClosed(conns []net.Conn) int {
	var all []unix.PollFd
	for _, c := range conns {
		raw, err := c.(*net.UnixConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { all = append(all, unix.PollFd{Fd: int32(fd)}) })
		}
		if err != nil {
			fmt.Println("failed", err)
		}
	}
	if _, err := unix.Poll(all, 0); err != nil {
		fmt.Println("failed", err)
	}
	closed := 0
	for _, p := range all {
		if p.Revents&unix.POLLHUP != 0 {
			closed++
		}
	}
	return closed
}

// actAsPromise prints the answer to a request whose body never comes, and how the connection ended.
func actAsPromise(socket string) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Println(err)
		return
	}
	c.SetDeadline(time.Now().Add(4 * recvTimeout))
	fmt.Fprint(c, "POST /v1/targets/imapd/restore HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	answer, err := io.ReadAll(c)
	fmt.Printf("%s\nended: %v\n", answer, err)
}

// A thousand connections of somebody who may only look, each at a loss for words, keep neither root
// nor each other out, and do not stay.
func TestFloodKeepsNobodyOut(t *testing.T) {
	for _, who := range []struct {
		name string
		cred *syscall.Credential
		most int
	}{
		{"of another user", &syscall.Credential{Uid: nobody, Gid: nobody}, maxOthers},
		{"of our own", nil, maxTrusted},
	} {
		t.Run(who.name, func(t *testing.T) {
			if who.cred != nil && os.Getuid() != 0 {
				t.Skip("left out, it needs root: connections of another user")
			}
			t.Parallel()
			svc := &fake{}
			socket, _ := serve(t, svc, "")
			openTestBinary(t)
			must(t, os.Chmod(socket, 0o666))
			cmd := peerCommand(t, socket, who.cred, floodEnv+"=1")
			in, err := cmd.StdinPipe()
			must(t, err)
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			said := bufio.NewScanner(out)
			next := func() string { said.Scan(); return said.Text() }
			if got := next(); got != "open" {
				t.Fatalf("the flood says %q", got)
			}
			for range 20 {
				ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
				_, err := NewClient(socket).Status(ctx)
				cancel()
				must(t, err)
			}
			if who.cred != nil {
				if got := runAsPeer(t, socket, who.cred); !strings.HasPrefix(got, "status: <nil>") {
					t.Errorf("another one who only looks: %s", got)
				}
			}
			fmt.Fprintln(in)
			var gone int
			if _, err := fmt.Sscanf(next(), "gone %d", &gone); err != nil || gone < flood-who.most {
				t.Errorf("of %d connections %d were closed, want all but %d (%v)", flood, gone, who.most, err)
			}
			begun := time.Now()
			if got := next(); got != "all gone" {
				t.Errorf("the flood says %q", got)
			}
			if took := time.Since(begun); took > recvTimeout+5*time.Second {
				t.Errorf("the last connection stayed for %v", took)
			}
			for _, call := range svc.asked() {
				if call != "status" {
					t.Errorf("the service was asked: %s", call)
				}
			}
			faults.Record(t, faults.Row{What: "control socket", Injected: "1,000 connections with half a request or none, " + who.name,
				Times: 1, Survived: "status is answered, and the connections are closed"})
		})
	}
}

// Whoever is denied does not keep the connection by promising a body.
func TestDeniedBodyIsNotWaitedFor(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out, it needs root: acting as another user")
	}
	t.Parallel()
	socket, _ := serve(t, &fake{}, "")
	openTestBinary(t)
	must(t, os.Chmod(socket, 0o666))
	cmd := peerCommand(t, socket, &syscall.Credential{Uid: nobody, Gid: nobody}, promiseEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 403 ") || !strings.Contains(string(out), `"kind":"denied"`) || !strings.Contains(string(out), "ended: <nil>") {
		t.Errorf("%v, %s", err, out)
	}
}

// Work that is under way is not cut off for a connection that has only come.
func TestFloodLeavesWorkAlone(t *testing.T) {
	svc := &fake{block: make(chan struct{})}
	socket, _ := serve(t, svc, "")
	const busy = 3
	results := make(chan error, busy)
	for range busy {
		go func() {
			_, err := NewClient(socket).Reclone(context.Background(), "imapd")
			results <- err
		}()
	}
	waitFor(t, "the requests", func() bool { return len(svc.asked()) == busy })
	for range maxTrusted + 50 {
		c, err := net.Dial("unix", socket)
		must(t, err)
		defer c.Close()
	}
	close(svc.block)
	for range busy {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// When every connection is one that is being worked on, a new one is not let in.
func TestAllBusy(t *testing.T) {
	svc := &fake{block: make(chan struct{})}
	socket, _ := serve(t, svc, "")
	results := make(chan error, maxTrusted)
	for range maxTrusted {
		go func() {
			_, err := NewClient(socket).Plan(context.Background())
			results <- err
		}()
	}
	waitFor(t, "the requests", func() bool { return len(svc.asked()) == maxTrusted })
	if _, err := NewClient(socket).Status(context.Background()); err == nil || errors.Is(err, ErrNoDaemon) {
		t.Errorf("one too many: %v", err)
	}
	close(svc.block)
	for range maxTrusted {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	_, err := NewClient(socket).Status(context.Background())
	must(t, err)
}

// A connection is for one request.
func TestNoKeepAlive(t *testing.T) {
	socket, _ := serve(t, &fake{}, "")
	const get = "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
	if answer := raw(t, socket, get+get); strings.Count(answer, "HTTP/1.1 200") != 1 || !strings.Contains(answer, http.CanonicalHeaderKey("connection")+": close") {
		t.Errorf("answered %q", answer)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
