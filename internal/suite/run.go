package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A verdict is what became of a test.
const (
	passed  = "pass"
	failed  = "fail"
	skipped = "skip"
)

// result is what the tests of a package have said.
type result struct {
	pkg   string
	took  time.Duration
	tests []test // in the order in which they ended, subtests too
	err   error  // why the binary as a whole failed: a test did, it ended early or was never run
	out   string // what belongs to no test
}

// test is what one test has said.
type test struct {
	name    string // with its parents': "TestA/b"
	verdict string
	took    time.Duration
	out     string
}

// runner is how binaries are run.
type runner struct {
	env        []string
	top        string // the top of the checkout in which they run; "" for this one
	credential *syscall.Credential
	only       map[string]string // by package, a pattern of the tests to run; "" for all
}

// timeout is how long a package may take.
func timeout() time.Duration {
	if long() {
		return 4 * time.Hour
	}
	return 40 * time.Minute
}

// printing keeps lines of packages that run at once apart.
var printing sync.Mutex

// run runs the tests of a package, and prints what is to be known at once.
func (r runner) run(ctx context.Context, b binary) result {
	res := result{pkg: b.pkg}
	began := time.Now()
	res.err = errors.Join(r.listen(ctx, b, &res), ctx.Err())
	res.took = time.Since(began)
	printing.Lock()
	defer printing.Unlock()
	word := "ok  "
	if res.err != nil {
		word = "FAIL"
	}
	fmt.Printf("%s\t%s\t%.1fs\n", word, b.pkg, res.took.Seconds())
	return res
}

// listen runs a binary, and has test2json tell what it prints.
func (r runner) listen(ctx context.Context, b binary, into *result) error {
	dir, err := filepath.Abs(filepath.Join(r.top, b.dir))
	if err != nil {
		return err
	}
	args := []string{"-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + timeout().String()}
	if pattern := r.only[b.pkg]; pattern != "" {
		args = append(args, "-test.run="+pattern)
	}
	cmd := exec.CommandContext(ctx, b.file, args...)
	cmd.Dir, cmd.Env = dir, append(r.env, "PWD="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.credential}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second // what a test has left running may hold its output
	converter := exec.Command("go", "tool", "test2json", "-t")
	printed, printing := io.Pipe()
	cmd.Stdout, cmd.Stderr = printing, printing
	converter.Stdin, converter.Stderr = printed, os.Stderr
	events, err := converter.StdoutPipe()
	if err != nil {
		return err
	}
	if err := converter.Start(); err != nil {
		return err
	}
	ended := make(chan error)
	go func() {
		err := cmd.Run()
		printing.Close()
		ended <- err
	}()
	err = read(events, func(t test) { tell(b.pkg, t) }, into)
	return errors.Join(<-ended, err, converter.Wait())
}

// read takes in what test2json writes until that ends; ended is called with each test that has.
func read(from io.Reader, ended func(test), into *result) error {
	began := map[string]*strings.Builder{}
	var rest strings.Builder
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e struct {
				Action, Test, Output string
				Elapsed              float64 // seconds
			}
			if json.Unmarshal(line, &e) != nil {
				rest.Write(line) // of go itself
				continue
			}
			switch {
			case e.Action == "output" && e.Test == "":
				rest.WriteString(e.Output)
			case e.Action == "output":
				if began[e.Test] == nil {
					began[e.Test] = &strings.Builder{}
				}
				began[e.Test].WriteString(e.Output)
			case e.Test != "" && (e.Action == passed || e.Action == failed || e.Action == skipped):
				t := test{name: e.Test, verdict: e.Action, took: time.Duration(e.Elapsed * float64(time.Second))}
				if b := began[e.Test]; b != nil {
					t.out = b.String()
					delete(began, e.Test)
				}
				into.tests = append(into.tests, t)
				ended(t)
			}
		}
		if err != nil {
			for name, b := range began { // it ended, or was killed, in the midst of these
				t := test{name: name, verdict: failed, out: b.String() + "it did not end\n"}
				into.tests = append(into.tests, t)
				ended(t)
			}
			into.out = rest.String()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// tell prints at once that a test was left out, and why, or that it has failed.
func tell(pkg string, t test) {
	printing.Lock()
	defer printing.Unlock()
	switch t.verdict {
	case skipped:
		fmt.Printf("LEFT OUT: %s: %s: %s\n", pkg, t.name, reason(t.out))
	case failed:
		fmt.Printf("--- FAIL: %s: %s (%.2fs)\n", pkg, t.name, t.took.Seconds())
	}
}

// saying finds what a test says, after the place in the code.
var saying = regexp.MustCompile(`(?m)^ +([a-zA-Z0-9_]+\.go):[0-9]+: (.*)$`)

// reason is the last thing that a test has said itself; testscript lists the variables of a script after that.
func reason(out string) string {
	why := "it does not say why"
	for _, said := range saying.FindAllStringSubmatch(out, -1) {
		if said[1] != "testscript.go" {
			why = said[2]
		}
	}
	return why
}

// verdict prints the sum, and the whole output of what failed.
func verdict(w io.Writer, results []result) error {
	count := map[string]int{}
	wrong := 0
	for _, r := range results {
		for _, t := range r.tests {
			count[t.verdict]++
		}
		if r.err != nil {
			wrong++
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", count[passed], count[failed], count[skipped])
	if wrong == 0 {
		return nil
	}
	fmt.Fprintln(w, "---- output of what failed")
	for _, r := range results {
		if r.err == nil {
			continue
		}
		for _, t := range r.tests {
			if t.verdict == failed {
				fmt.Fprintf(w, "%s", t.out)
			}
		}
		fmt.Fprintf(w, "%s\n%s: %v\n", strings.TrimSpace(r.out), r.pkg, r.err)
	}
	return fmt.Errorf("%d packages failed", wrong)
}

// skips is the verdicts of what was left out, as go test -v prints them.
func skips(results []result) []byte {
	var b bytes.Buffer
	for _, r := range results {
		for _, t := range r.tests {
			if t.verdict == skipped {
				fmt.Fprintf(&b, "--- SKIP: %s (%.2fs)\n", t.name, t.took.Seconds())
			}
		}
	}
	return b.Bytes()
}
