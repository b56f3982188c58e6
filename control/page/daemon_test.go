package page

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"relinkd/api"
)

// daemon plays what serves the page beside the document, the events and the stream. It can go away and
// come back at the same address.
type daemon struct {
	t    *testing.T
	addr string
	srv  *http.Server

	mu      sync.Mutex
	status  api.Status
	events  []api.Event
	changed chan struct{} // closed with each change of the two
}

func startDaemon(t *testing.T, status api.Status, events ...api.Event) *daemon {
	t.Helper()
	d := &daemon{t: t, addr: "127.0.0.1:0", status: status, events: events, changed: make(chan struct{})}
	d.start()
	t.Cleanup(d.stop)
	return d
}

// start serves at the address that d had before.
func (d *daemon) start() {
	d.t.Helper()
	ln, err := net.Listen("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	d.addr = ln.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", Handler())
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		status, _, _ := d.now()
		json.NewEncoder(w).Encode(status)
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) {
		_, events, _ := d.now()
		json.NewEncoder(w).Encode(map[string]any{"events": events})
	})
	mux.HandleFunc("GET /v1/live", d.live)
	d.srv = &http.Server{Handler: mux}
	go d.srv.Serve(ln)
}

// stop ends all connections at once.
func (d *daemon) stop() { d.srv.Close() }

func (d *daemon) url() string { return "http://" + d.addr + "/" }

// set changes what is told, at once.
func (d *daemon) set(change func(*api.Status)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	targets := append([]api.TargetStatus{}, d.status.Targets...)
	for i := range targets {
		targets[i].Copies = append([]api.CopyStatus{}, targets[i].Copies...)
	}
	d.status.Targets = targets
	change(&d.status)
	close(d.changed)
	d.changed = make(chan struct{})
}

// happen tells of one more api.Event.
func (d *daemon) happen(e api.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *daemon) now() (api.Status, []api.Event, chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status, append([]api.Event{}, d.events...), d.changed
}

// live sends the document at once and with every change, and the events after the one that was asked for.
func (d *daemon) live(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for {
		status, events, changed := d.now()
		send(w, "status", status)
		for _, e := range events {
			if e.ID > after {
				send(w, "event", e)
				after = e.ID
			}
		}
		http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func send(w http.ResponseWriter, kind string, document any) {
	data, _ := json.Marshal(document)
	fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
}

// sample is a daemon with one target of so many copies, of which some are full and one is current.
func sample(copies int) api.Status {
	t := api.TargetStatus{
		Name: "imapd", Path: "/usr/lib/cyrus/bin/imapd", PrivateLink: "/usr/lib/cyrus/bin/.relinkd/imapd", Publish: "symlink",
		State: api.Steady, Threshold: 200, Mark: 180, MaxCopies: max(240, copies),
		StaleProcesses: 41, Rotations: 66, RotationsByReason: api.RotationsByReason{Threshold: 64, Operator: 2},
		PeakCopyProcesses: 181, ExecRate: 12.5, EventLatencySeconds: 0.00014,
		Generation: api.Generation{SHA256: "3f2a5c1be0d9a7714b0c", Size: 360224, Since: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)},
	}
	current := (copies + 2) / 3
	for n := 1; n <= copies; n++ {
		c := api.CopyStatus{Name: fmt.Sprintf("imapd_%03d", n), Number: n, Processes: 180 - (n*n*7+n*13)%61, Inode: uint64(9985000 + n), Verified: true}
		switch {
		case n == current:
			c.Processes = 27
		case n > current && n <= current+copies/3:
			c.Processes = (n*37 + n*n) % 170
		case n > current+copies/2:
			c.Processes = max(0, (n*31)%60-20)
		}
		if n == current {
			t.Current = c.Name
		}
		t.Processes += c.Processes
		t.Copies = append(t.Copies, c)
	}
	return api.Status{Version: "1.2.3", Accounting: "netlink", Targets: []api.TargetStatus{t}}
}

// history is n events, the last one now: rotations for the most part.
func history(n int) []api.Event {
	var all []api.Event
	begin := time.Now().Add(-time.Duration(n) * 47 * time.Second)
	for i := 1; i <= n; i++ {
		e := api.Event{
			ID: uint64(i), Time: begin.Add(time.Duration(i) * 47 * time.Second), Target: "imapd", Kind: api.EventRotation, Reason: "threshold",
			From: fmt.Sprintf("imapd_%03d", 1+(i-1)%60), To: fmt.Sprintf("imapd_%03d", 1+i%60), Seconds: 0.00014,
		}
		e.Message = fmt.Sprintf("rotated from %s to %s: the mark was reached", e.From, e.To)
		switch i % 17 {
		case 3:
			e.Kind, e.Reason, e.From, e.To, e.Seconds = "state", "", "cloning", "steady", 0
			e.Message = "imapd is steady, and was cloning before"
		case 5:
			e.Kind, e.Reason, e.From, e.To, e.Seconds = "upgrade", "", "9c1d04aa71e2", "3f2a5c1be0d9", 0.077
			e.Message = "60 copies of the new source are published"
		case 7:
			e.Target, e.Kind, e.Reason, e.From, e.To, e.Seconds = "", "counting", "lost events", "", "", 0.031
			e.Message = "events were lost; all processes were counted anew"
		case 11:
			e.Kind, e.Reason, e.From, e.To, e.Seconds = "error", "no space left on device", "", "imapd_061", 0
			e.Message = "cannot clone imapd_061: no space left on device; try: make room on the file system of /usr/lib/cyrus/bin, where 12 KiB and 81233 inodes are free"
		}
		all = append(all, e)
	}
	return all
}

// troubled is a daemon with much to tell: three targets, of which one is degraded and one is saturated.
func troubled() api.Status {
	st := sample(60)
	st.Accounting, st.AccountingReason = "census", "the kernel has not acknowledged the request for process events: this may be a container"
	st.UnreadableProcesses, st.Overflows = 17, 2
	st.ConfigError = "/etc/relinkd/relinkd.toml:3: target.imapd.copies: found 0, allowed: a whole number from 1 to 999\n/etc/relinkd/relinkd.toml:4: another"
	st.LastError = "pop3d: cannot clone pop3d_017: no space left on device; try: make room on the file system of /usr/lib/cyrus/bin, where 12 KiB are free"

	degraded := sample(12).Targets[0]
	rename(&degraded, "lmtpd")
	degraded.State, degraded.Reason = api.Degraded, "cannot clone lmtpd_017: no space left on device; try: make room on the file system of /usr/lib/cyrus/bin, where 12 KiB and 81233 inodes are free"
	degraded.Copies[3].Verified = false

	full := saturated().Targets[0]
	rename(&full, "pop3d")
	st.Targets = append(st.Targets, degraded, full)
	return st
}

// saturated is a daemon whose pool is too small: all copies are at the mark, some over the threshold.
func saturated() api.Status {
	st := sample(60)
	t := &st.Targets[0]
	t.MaxCopies, t.Saturated, t.PeakCopyProcesses, t.Processes = 60, true, 214, 0
	t.RotationsByReason.Saturated = 12
	for i := range t.Copies {
		t.Copies[i].Processes = 184 + (i*i*7+i)%24
		t.Processes += t.Copies[i].Processes
	}
	return st
}

// rename gives a target and its copies another name.
func rename(t *api.TargetStatus, name string) {
	t.Path, t.PrivateLink = "/usr/lib/cyrus/bin/"+name, "/usr/lib/cyrus/bin/.relinkd/"+name
	t.Current = name + t.Current[len(t.Name):]
	t.Copies = append([]api.CopyStatus{}, t.Copies...)
	for i := range t.Copies {
		t.Copies[i].Name = name + t.Copies[i].Name[len(t.Name):]
	}
	t.Name = name
}
