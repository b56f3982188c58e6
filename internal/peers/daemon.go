package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/control"
)

// niceness is the daemon's, as its unit gives it to it.
const niceness = -10

// daemon is relinkd from outside: a process, a socket and a log.
type daemon struct {
	*child
	client *control.Client
	web    http.Client // on the same socket
	bench  *bench
}

// startDaemon runs relinkd on a site that is configured, and waits until it has everything in order.
func startDaemon(ctx context.Context, b *bench, s *site) (*daemon, error) {
	command := []string{b.relinkd, "run", "--config", s.config}
	if root() {
		// nice(1) becomes the program. setpriority(2) on a running one would reach only its first thread.
		command = append([]string{"nice", "-n", strconv.Itoa(niceness)}, command...)
	}
	c, err := startChild(s.log, s.root, command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	d := &daemon{child: c, client: control.NewClient(s.socket), web: onSocket(s.socket), bench: b}
	if err := d.await(ctx, "it is steady", func(t *api.TargetStatus) bool { return t.State == api.Steady }); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// await waits until the status of the one target is as wanted.
func (d *daemon) await(ctx context.Context, what string, yes func(*api.TargetStatus) bool) error {
	err := await(ctx, d.bench.grace, 50*time.Millisecond, what, func() bool {
		if d.ended() {
			return true
		}
		st, err := d.client.Status(ctx)
		return err == nil && len(st.Targets) == 1 && yes(&st.Targets[0])
	})
	if err == nil && d.ended() {
		err = fmt.Errorf("it has ended (%v)", d.cmd.ProcessState)
	}
	if err != nil {
		return fmt.Errorf("relinkd does not do as it should: %v; the end of its log:\n%s", err, d.said())
	}
	return nil
}

// awaitProcesses waits until relinkd counts n of them on its copies.
func (d *daemon) awaitProcesses(ctx context.Context, n int) error {
	return d.await(ctx, fmt.Sprintf("it counts %d processes", n), func(t *api.TargetStatus) bool { return t.Processes == n })
}

// accounting is how relinkd says that it learns of processes.
func (d *daemon) accounting(ctx context.Context) string {
	st, err := d.client.Status(ctx)
	if err != nil {
		return "unknown"
	}
	return st.Accounting
}

// awaitCensus returns soon after the daemon has taken a census, of which it takes one each interval.
func (d *daemon) awaitCensus(ctx context.Context, interval time.Duration) error {
	before, err := d.censuses(ctx)
	if err != nil {
		return err
	}
	return await(ctx, interval+d.bench.grace, interval/60, "it takes a census", func() bool {
		n, err := d.censuses(ctx)
		return err == nil && n > before
	})
}

// censuses is how many the daemon has taken.
func (d *daemon) censuses(ctx context.Context) (n int, err error) {
	const name = "relinkd_census_duration_seconds_count "
	text, err := d.metrics(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot ask relinkd for its metrics: %v", err)
	}
	_, rest, _ := strings.Cut(text, "\n"+name)
	line, _, _ := strings.Cut(rest, "\n")
	if n, err = strconv.Atoi(line); err != nil {
		return 0, fmt.Errorf("cannot read in relinkd's metrics how many censuses it has taken: %v", err)
	}
	return n, nil
}

// metrics is what Prometheus would get.
func (d *daemon) metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://relinkd/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := d.web.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// onSocket is for requests to whoever listens there.
func onSocket(path string) http.Client {
	var dialer net.Dialer
	return http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // so that nothing has to be closed
	}}
}

// memory is what the process has in memory, and the part of it that no file backs.
func (d *daemon) memory() (rss, anonymous float64, err error) {
	values := map[string]float64{}
	file := filepath.Join("/proc", strconv.Itoa(d.pid()), "status")
	for _, name := range []string{"VmRSS", "RssAnon"} {
		kib, err := strconv.ParseFloat(strings.TrimSuffix(field(file, name), " kB"), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("cannot read %s of relinkd in %s: %v", name, file, err)
		}
		values[name] = kib * 1024
	}
	return values["VmRSS"], values["RssAnon"], nil
}

// processorTime is what all threads of the process have used, ended ones included, to the
// nanosecond. It is the sum of which /proc/PID/stat shows hundredths of a second; the clock's number
// is made as clock_getcpuclockid(3) makes it.
func (d *daemon) processorTime() (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED of include/linux/posix-timers_types.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^d.pid()<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("cannot read relinkd's processor time: %v", err)
	}
	return time.Duration(ts.Nano()), nil
}

// ticks is utime and stime of /proc/PID/stat, fields 14 and 15 of proc_pid_stat(5). The unit is a
// hundredth of a second on all machines that relinkd is for.
func (d *daemon) ticks() (time.Duration, error) {
	content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(d.pid()), "stat"))
	if err != nil {
		return 0, fmt.Errorf("cannot read relinkd's processor time: %v", err)
	}
	_, rest, _ := strings.Cut(string(content), ") ") // the name has no parenthesis
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("cannot read relinkd's processor time in %q", content)
	}
	var sum int
	for _, text := range fields[11:13] {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("cannot read relinkd's processor time: %v", err)
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond, nil
}
