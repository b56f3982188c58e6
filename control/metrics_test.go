package control

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"relinkd/api"
	measured "relinkd/api/histogram"
)

var update = flag.Bool("update", false, "write docs/METRICS.md anew")

// durations is a histogram of these, in milliseconds.
func durations(ms ...int) measured.Histogram {
	h := measured.New(measured.NewLimits(0.001, 0.01, 0.1))
	for _, d := range ms {
		h.Observe(time.Duration(d) * time.Millisecond)
	}
	return h
}

// busy is a daemon with so many copies, in which everything that can be told is.
func busy(copies int) *api.Snapshot {
	t := api.TargetStatus{
		Name: "imapd", State: api.Steady, Executes: true, Threshold: 200, Mark: 170, MaxCopies: 240, GrowableCopies: 170, Saturated: true, UnseenProcesses: 30, ThresholdPromised: true, Processes: 11, StaleProcesses: 3,
		SourceProcesses: 2, PeakCopyProcesses: 181, ExecRate: 12.5, EventLatencySeconds: 0.0005,
		RotationsByReason: api.RotationsByReason{Threshold: 64, Interval: 1, Saturated: 3, Operator: 2},
		Generation:        api.Generation{SHA256: strings.Repeat("0123456789abcdef", 4), Size: 360224, Since: time.Unix(1700000000, 5e8)},
	}
	for n := range copies {
		t.Copies = append(t.Copies, api.CopyStatus{Name: fmt.Sprintf("imapd_%03d", n+1), Number: n + 1, Processes: 10 + n, Verified: n != 1})
	}
	t.Current = t.Copies[0].Name
	return &api.Snapshot{
		Status: api.Status{
			Version: "1.2.3", Accounting: "netlink", Overflows: 4, UnreadableProcesses: 5, ConfigError: "line 3",
			Targets: []api.TargetStatus{t, {Name: "lmtpd", State: api.Released, Threshold: 9}},
		},
		Counting:       api.Counting{Processes: 12345, Subscriptions: 3, Durations: durations(5, 7)},
		Reloads:        api.Reloads{Succeeded: 6, Failed: 1},
		ConfigLoadedAt: time.Unix(1700000001, 0),
		Measures: []api.Measures{{
			Grown: 7, Errors: 8, LastErrorAt: time.Unix(1700000002, 0), RotationLatency: durations(0, 0, 50), Rotation: durations(0),
			CloneGeneration: durations(99), CloneGrowth: durations(5), Upgrade: durations(300),
		}, {}},
	}
}

func ours(t testing.TB, s *api.Snapshot) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	must(t, r.Register(newCollector(&fake{snapshot: s})))
	return r
}

// Every metric is there, of its kind and with the value of the snapshot.
func TestMetrics(t *testing.T) {
	r := ours(t, busy(2))
	families, err := r.Gather()
	must(t, err)
	got := map[string]metric{}
	for _, f := range families {
		m := metric{name: f.GetName(), kind: metricType(strings.ToLower(f.GetType().String())), help: f.GetHelp()}
		for _, l := range f.GetMetric()[0].GetLabel() {
			m.labels = append(m.labels, l.GetName())
		}
		got[m.name] = m
	}
	for _, want := range metrics() {
		slices.Sort(want.labels)
		if diff := cmp.Diff(want, got[want.name], cmp.AllowUnexported(metric{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.name, diff)
		}
		delete(got, want.name)
	}
	if len(got) > 0 {
		t.Errorf("and more: %v", got)
	}

	var text strings.Builder
	for _, line := range []string{
		`relinkd_build_info{goversion="GO",version="1.2.3"} 1`, `relinkd_process_events 1`, `relinkd_processes_unreadable 5`,
		`relinkd_host_processes 12345`, `relinkd_events_lost_total 4`, `relinkd_event_resubscriptions_total 2`,
		`relinkd_census_duration_seconds_bucket{le="0.001"} 0`, `relinkd_census_duration_seconds_bucket{le="0.01"} 2`,
		`relinkd_census_duration_seconds_sum 0.012`, `relinkd_census_duration_seconds_count 2`,
		`relinkd_config_reloads_total{result="failure"} 1`, `relinkd_config_reloads_total{result="success"} 6`,
		`relinkd_config_last_reload_successful 0`, `relinkd_config_loaded_timestamp_seconds 1.700000001e+09`,
		`relinkd_path_executes{target="imapd"} 1`, `relinkd_path_executes{target="lmtpd"} 0`,
		`relinkd_link_healthy{target="imapd"} 1`, `relinkd_link_healthy{target="lmtpd"} 0`,
		`relinkd_target_state{state="steady",target="imapd"} 1`, `relinkd_target_state{state="degraded",target="imapd"} 0`,
		`relinkd_target_state{state="released",target="lmtpd"} 1`,
		`relinkd_copy_processes{copy="imapd_001",target="imapd"} 10`, `relinkd_copy_processes{copy="imapd_002",target="imapd"} 11`,
		`relinkd_current_copy{copy="imapd_001",target="imapd"} 1`, `relinkd_copy_processes_peak{target="imapd"} 181`,
		`relinkd_threshold_processes{target="imapd"} 200`, `relinkd_threshold_processes{target="lmtpd"} 9`,
		`relinkd_mark_processes{target="imapd"} 170`, `relinkd_copies{target="imapd"} 2`, `relinkd_copies_unverified{target="imapd"} 1`,
		`relinkd_max_copies{target="imapd"} 240`, `relinkd_growable_copies{target="imapd"} 170`,
		`relinkd_unseen_processes{target="imapd"} 30`, `relinkd_threshold_promised{target="imapd"} 1`, `relinkd_threshold_promised{target="lmtpd"} 0`, `relinkd_saturated{target="imapd"} 1`, `relinkd_stale_processes{target="imapd"} 3`,
		`relinkd_source_processes{target="imapd"} 2`, `relinkd_rotations_total{reason="threshold",target="imapd"} 64`,
		`relinkd_rotations_total{reason="interval",target="imapd"} 1`, `relinkd_rotations_total{reason="saturated",target="imapd"} 3`,
		`relinkd_rotations_total{reason="operator",target="imapd"} 2`, `relinkd_copies_grown_total{target="imapd"} 7`,
		`relinkd_generation_info{generation="0123456789ab",target="imapd"} 1`,
		`relinkd_generation_published_timestamp_seconds{target="imapd"} 1.7000000005e+09`,
		`relinkd_generation_size_bytes{target="imapd"} 360224`, `relinkd_exec_rate{target="imapd"} 12.5`,
		`relinkd_event_latency_seconds{target="imapd"} 0.0005`,
		`relinkd_rotation_latency_seconds_bucket{target="imapd",le="0.001"} 2`, `relinkd_rotation_latency_seconds_count{target="imapd"} 3`,
		`relinkd_rotation_duration_seconds_count{target="imapd"} 1`, `relinkd_clone_duration_seconds_sum{for="generation",target="imapd"} 0.099`,
		`relinkd_clone_duration_seconds_sum{for="growth",target="imapd"} 0.005`,
		`relinkd_upgrade_duration_seconds_bucket{target="imapd",le="+Inf"} 1`, `relinkd_upgrade_duration_seconds_bucket{target="imapd",le="0.1"} 0`,
		`relinkd_errors_total{target="imapd"} 8`, `relinkd_last_error_timestamp_seconds{target="imapd"} 1.700000002e+09`,
	} {
		text.WriteString(line + "\n")
	}
	scraped := scrape(t, r)
	for line := range strings.Lines(text.String()) {
		if before, after, hasVersion := strings.Cut(line, "GO"); hasVersion {
			if !strings.Contains(scraped, before) || !strings.Contains(scraped, after) {
				t.Errorf("not among what is scraped: %s", line)
			}
		} else if !strings.Contains(scraped, "\n"+line) {
			t.Errorf("not among what is scraped: %s", line)
		}
	}
	if t.Failed() {
		t.Log(scraped)
	}
}

// What is gone is gone from the metrics, and what never was is not told of.
func TestMetricsOfWhatIsGone(t *testing.T) {
	s := busy(3)
	r := ours(t, s)
	if text := scrape(t, r); !strings.Contains(text, `copy="imapd_003"`) || strings.Contains(text, `relinkd_last_error_timestamp_seconds{target="lmtpd"}`) {
		t.Error(text)
	}
	*s = *busy(2)
	s.Targets, s.Measures = s.Targets[:1], s.Measures[:1]
	s.Targets[0].Current, s.Targets[0].Generation = "", api.Generation{}
	text := scrape(t, r)
	for _, gone := range []string{"imapd_003", "lmtpd", "relinkd_current_copy{", "relinkd_generation_info{"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
}

func scrape(t testing.TB, r *prometheus.Registry) string {
	t.Helper()
	w := newRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, &http.Request{Header: http.Header{}})
	return w.String()
}

// recorder is an answer that is kept.
type recorder struct {
	bytes.Buffer
	header http.Header
}

func newRecorder() *recorder                    { return &recorder{header: http.Header{}} }
func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(b []byte) (int, error) { return r.Buffer.Write(b) }

// The names and the help are as Prometheus would have them.
func TestMetricsAreClean(t *testing.T) {
	r := ours(t, busy(2))
	problems, err := testutil.GatherAndLint(r)
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	cmd := exec.Command(promtool(t), "check", "metrics")
	cmd.Stdin = strings.NewReader(scrape(t, r))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// promtool is Debian's, from its package prometheus.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("left out, it needs promtool: tools/setup takes it from Debian's package prometheus")
	}
	return path
}

// A daemon's own registry has these, and of its process what every Go program has.
func TestRegistry(t *testing.T) {
	families, err := newRegistry(&fake{snapshot: busy(2)}).Gather()
	must(t, err)
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
		if prefix, _, _ := strings.Cut(f.GetName(), "_"); !slices.Contains([]string{"relinkd", "go", "process"}, prefix) {
			t.Errorf("a strange metric: %s", f.GetName())
		}
	}
	for _, want := range []string{metricMark, "process_resident_memory_bytes", "go_goroutines"} {
		if !names[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

// METRICS.md tells of every metric, as the program does.
func TestReference(t *testing.T) {
	const file = "../docs/METRICS.md"
	got, err := os.ReadFile(file)
	must(t, err)
	const begin, end = "<!-- made by go test ./control -run TestReference -update -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(got), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + reference() + end + after
	if *update {
		must(t, os.WriteFile(file, []byte(want), 0o644))
		return
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is out of date: say go test ./control -run TestReference -update (-want +got):\n%s", file, diff)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString("| metric | kind | labels | what it tells |\n|---|---|---|---|\n")
	for _, m := range metrics() {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
	}
	return b.String()
}

// BenchmarkScrape is one scrape of a daemon with 240 copies, as text.
func BenchmarkScrape(b *testing.B) {
	r := newRegistry(&fake{snapshot: busy(240)})
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		w := newRecorder()
		h.ServeHTTP(w, &http.Request{Header: http.Header{}})
		n = w.Len()
	}
	b.ReportMetric(float64(n), "bytes")
}
