package control

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"relinkd/api"
	measured "relinkd/api/histogram"
)

// newRegistry is the metrics of a daemon and of its process, and nobody else's.
func newRegistry(d Daemon) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(d),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector())
	return r
}

// metricsPath is where metrics are, on the socket as on the port.
const metricsPath = "/metrics"

// metricsHandler answers with the metrics of d.
func metricsHandler(d Daemon) http.Handler {
	return promhttp.HandlerFor(newRegistry(d), promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// maxScrapes is how many scrapes are answered at a time.
const maxScrapes = 4

// collector makes metrics of a snapshot, each time it is asked. It holds nothing, so what is gone from the
// snapshot is gone from the metrics.
type collector struct {
	daemon Daemon
	descs  map[string]described
}

type described struct {
	desc *prometheus.Desc
	kind prometheus.ValueType // of what is no histogram
}

func newCollector(d Daemon) *collector {
	c := &collector{daemon: d, descs: map[string]described{}}
	for _, m := range metrics() {
		kind := prometheus.GaugeValue
		if m.kind == counter {
			kind = prometheus.CounterValue
		}
		c.descs[m.name] = described{prometheus.NewDesc(m.name, m.help, m.labels, nil), kind}
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.daemon.Snapshot()
	to := sink{c, ch}
	to.ofDaemon(s)
	for i := range s.Targets {
		to.ofTarget(&s.Targets[i], &s.Measures[i])
	}
}

// sink is where the metrics of one scrape go.
type sink struct {
	*collector
	ch chan<- prometheus.Metric
}

func (s sink) value(name string, v float64, labels ...string) {
	d := s.descs[name]
	s.ch <- prometheus.MustNewConstMetric(d.desc, d.kind, v, labels...)
}

func (s sink) count(name string, n int, labels ...string) { s.value(name, float64(n), labels...) }

func (s sink) truth(name string, is bool, labels ...string) {
	v := 0.0
	if is {
		v = 1
	}
	s.value(name, v, labels...)
}

// instant leaves out a time that never was.
func (s sink) instant(name string, at time.Time, labels ...string) {
	if !at.IsZero() {
		s.value(name, float64(at.UnixMilli())/1000, labels...)
	}
}

func (s sink) durations(name string, h measured.Histogram, labels ...string) {
	s.ch <- prometheus.MustNewConstHistogram(s.descs[name].desc, h.Total(), h.Sum(), h.Cumulative(), labels...)
}

func (s sink) ofDaemon(snap *api.Snapshot) {
	s.value(metricBuildInfo, 1, snap.Version, runtime.Version())
	s.truth(metricProcessEvents, snap.Accounting == "netlink")
	s.count(metricUnreadable, snap.UnreadableProcesses)
	s.count(metricHostProcesses, snap.Counting.Processes)
	s.count(metricEventsLost, snap.Overflows)
	s.count(metricResubscriptions, max(0, snap.Counting.Subscriptions-1))
	s.durations(metricCensusDuration, snap.Counting.Durations)
	s.count(metricReloads, snap.Reloads.Succeeded, "success")
	s.count(metricReloads, snap.Reloads.Failed, "failure")
	s.truth(metricConfigGood, snap.ConfigError == "")
	s.instant(metricConfigLoaded, snap.ConfigLoadedAt)
}

func (s sink) ofTarget(t *api.TargetStatus, m *api.Measures) {
	s.truth(metricExecutes, t.Executes, t.Name)
	s.truth(metricLinkHealthy, t.State == api.Steady, t.Name)
	for _, state := range api.States() {
		s.truth(metricState, t.State == state, t.Name, string(state))
	}
	unverified := 0
	for i := range t.Copies {
		c := &t.Copies[i]
		s.count(metricCopyProcesses, c.Processes, t.Name, c.Name)
		if !c.Verified {
			unverified++
		}
	}
	if t.Current != "" {
		s.value(metricCurrentCopy, 1, t.Name, t.Current)
	}
	s.count(metricPeak, t.PeakCopyProcesses, t.Name)
	s.count(metricThreshold, t.Threshold, t.Name)
	s.count(metricMark, t.Mark, t.Name)
	s.count(metricCopies, len(t.Copies), t.Name)
	s.count(metricUnverified, unverified, t.Name)
	s.count(metricMaxCopies, t.MaxCopies, t.Name)
	s.count(metricGrowable, t.GrowableCopies, t.Name)
	s.truth(metricSaturated, t.Saturated, t.Name)
	s.count(metricStale, t.StaleProcesses, t.Name)
	s.count(metricSource, t.SourceProcesses, t.Name)
	s.count(metricRotations, t.RotationsByReason.Threshold, t.Name, "threshold")
	s.count(metricRotations, t.RotationsByReason.Interval, t.Name, "interval")
	s.count(metricRotations, t.RotationsByReason.Saturated, t.Name, "saturated")
	s.count(metricRotations, t.RotationsByReason.Operator, t.Name, "operator")
	s.count(metricGrown, m.Grown, t.Name)
	if g := t.Generation; g.SHA256 != "" {
		s.value(metricGenerationInfo, 1, t.Name, api.ShortHash(g.SHA256))
		s.instant(metricGenerationSince, g.Since, t.Name)
		s.value(metricGenerationSize, float64(g.Size), t.Name)
	}
	s.value(metricExecRate, t.ExecRate, t.Name)
	s.value(metricEventLatency, t.EventLatencySeconds, t.Name)
	s.count(metricUnseen, t.UnseenProcesses, t.Name)
	s.truth(metricPromised, t.ThresholdPromised, t.Name)
	s.durations(metricRotationLatency, m.RotationLatency, t.Name)
	s.durations(metricRotationDuration, m.Rotation, t.Name)
	s.durations(metricCloneDuration, m.CloneGeneration, t.Name, "generation")
	s.durations(metricCloneDuration, m.CloneGrowth, t.Name, "growth")
	s.durations(metricUpgradeDuration, m.Upgrade, t.Name)
	s.count(metricErrors, m.Errors, t.Name)
	s.instant(metricLastError, m.LastErrorAt, t.Name)
}
