package control

// The names of all metrics. METRICS.md, the alert rules and the dashboard in packaging are held to them by
// tests.
const (
	metricBuildInfo       = "relinkd_build_info"
	metricProcessEvents   = "relinkd_process_events"
	metricUnreadable      = "relinkd_processes_unreadable"
	metricHostProcesses   = "relinkd_host_processes"
	metricEventsLost      = "relinkd_events_lost_total"
	metricResubscriptions = "relinkd_event_resubscriptions_total"
	metricCensusDuration  = "relinkd_census_duration_seconds"
	metricReloads         = "relinkd_config_reloads_total"
	metricConfigGood      = "relinkd_config_last_reload_successful"
	metricConfigLoaded    = "relinkd_config_loaded_timestamp_seconds"

	metricExecutes         = "relinkd_path_executes"
	metricLinkHealthy      = "relinkd_link_healthy"
	metricState            = "relinkd_target_state"
	metricCopyProcesses    = "relinkd_copy_processes"
	metricCurrentCopy      = "relinkd_current_copy"
	metricPeak             = "relinkd_copy_processes_peak"
	metricThreshold        = "relinkd_threshold_processes"
	metricMark             = "relinkd_mark_processes"
	metricCopies           = "relinkd_copies"
	metricUnverified       = "relinkd_copies_unverified"
	metricMaxCopies        = "relinkd_max_copies"
	metricGrowable         = "relinkd_growable_copies"
	metricSaturated        = "relinkd_saturated"
	metricStale            = "relinkd_stale_processes"
	metricSource           = "relinkd_source_processes"
	metricRotations        = "relinkd_rotations_total"
	metricGrown            = "relinkd_copies_grown_total"
	metricGenerationInfo   = "relinkd_generation_info"
	metricGenerationSince  = "relinkd_generation_published_timestamp_seconds"
	metricGenerationSize   = "relinkd_generation_size_bytes"
	metricExecRate         = "relinkd_exec_rate"
	metricEventLatency     = "relinkd_event_latency_seconds"
	metricUnseen           = "relinkd_unseen_processes"
	metricPromised         = "relinkd_threshold_promised"
	metricRotationLatency  = "relinkd_rotation_latency_seconds"
	metricRotationDuration = "relinkd_rotation_duration_seconds"
	metricCloneDuration    = "relinkd_clone_duration_seconds"
	metricUpgradeDuration  = "relinkd_upgrade_duration_seconds"
	metricErrors           = "relinkd_errors_total"
	metricLastError        = "relinkd_last_error_timestamp_seconds"
)

// metricType is a kind of metric, in Prometheus' words.
type metricType string

const (
	gauge     metricType = "gauge"
	counter   metricType = "counter"
	histogram metricType = "histogram"
)

// metric is what is said of one.
type metric struct {
	name   string
	kind   metricType
	labels []string
	help   string
}

// ofTarget is the labels of what each target has.
func ofTarget(more ...string) []string { return append([]string{"target"}, more...) }

// metrics is all of them, those of the daemon first. Nothing is without bounds: the labels are those of the
// targets that are configured, their present copies, and fixed words.
func metrics() []metric {
	return []metric{
		{metricBuildInfo, gauge, []string{"version", "goversion"}, "Always 1, labelled with the version of relinkd and of Go."},
		{metricProcessEvents, gauge, nil, "Whether the kernel tells of every process (1), or censuses of /proc alone find them (0)."},
		{metricUnreadable, gauge, nil, "Processes that would not say what they execute, in the last census: above 0, counts may be too low."},
		{metricHostProcesses, gauge, nil, "All processes of the host that the last census saw."},
		{metricEventsLost, counter, nil, "How often process events were lost, and a census has made up for them."},
		{metricResubscriptions, counter, nil, "How often the kernel had to be asked for process events anew."},
		{metricCensusDuration, histogram, nil, "How long a census of all processes takes."},
		{metricReloads, counter, []string{"result"}, "Reloads of the configuration, by result: success or failure."},
		{metricConfigGood, gauge, nil, "Whether the configuration that was last read was good (1), or an earlier one stays in force (0)."},
		{metricConfigLoaded, gauge, nil, "When the configuration in force was read."},

		{metricExecutes, gauge, ofTarget(), "Whether an ordinary user can execute path (1), or the private link where publish leaves path alone."},
		{metricLinkHealthy, gauge, ofTarget(), "Whether the target is steady (1): path leads to copies of one generation."},
		{metricState, gauge, ofTarget("state"), "Whether the target is in this state (1) or not (0); it is always in one."},
		{metricCopyProcesses, gauge, ofTarget("copy"), "Processes that run the copy."},
		{metricCurrentCopy, gauge, ofTarget("copy"), "Always 1, labelled with the copy that new processes run; not there while they run none."},
		{metricPeak, gauge, ofTarget(), "The most processes that one copy has had since the daemon's start."},
		{metricThreshold, gauge, ofTarget(), "The most processes that a copy may have, as configured."},
		{metricMark, gauge, ofTarget(), "The number of processes at which relinkd moves on to another copy."},
		{metricCopies, gauge, ofTarget(), "Copies of the generation in force."},
		{metricUnverified, gauge, ofTarget(), "Copies that were found to differ from their source, and are not made again yet."},
		{metricMaxCopies, gauge, ofTarget(), "How far the number of copies may grow, as configured."},
		{metricGrowable, gauge, ofTarget(), "Copies that can still be made: as max_copies allows, and the disk."},
		{metricSaturated, gauge, ofTarget(), "Whether all copies are at the mark and no more can be made (1)."},
		{metricStale, gauge, ofTarget(), "Processes that run copies of an earlier generation."},
		{metricSource, gauge, ofTarget(), "Processes that run the packaged file itself, not a copy."},
		{metricRotations, counter, ofTarget("reason"), "Moves on to another copy, by what asked for them: threshold, interval, saturated or operator."},
		{metricGrown, counter, ofTarget(), "Copies that were added because all others were full, or about to be."},
		{metricGenerationInfo, gauge, ofTarget("generation"), "Always 1, labelled with the beginning of the SHA-256 of the executable that all copies equal."},
		{metricGenerationSince, gauge, ofTarget(), "When that executable came in force: time() minus this is its age."},
		{metricGenerationSize, gauge, ofTarget(), "Its size."},
		{metricExecRate, gauge, ofTarget(), "Processes that begin a second, as last measured."},
		{metricEventLatency, gauge, ofTarget(), "How late relinkd knows of a process, as the mark allows for."},
		{metricUnseen, gauge, ofTarget(), "Processes that may begin before relinkd acts, as the mark allows for."},
		{metricPromised, gauge, ofTarget(), "Whether no copy passes the threshold if no more than those begin (1); 0 says that it may, and status why."},
		{metricRotationLatency, histogram, ofTarget(), "From the beginning of the process that asked for a rotation to the moved link; only with process events."},
		{metricRotationDuration, histogram, ofTarget(), "How long moving the link takes."},
		{metricCloneDuration, histogram, ofTarget("for"), "How long making copies takes, until they are durable: all of a generation, or one for growth."},
		{metricUpgradeDuration, histogram, ofTarget(), "From a complete new executable until copies of it are in force."},
		{metricErrors, counter, ofTarget(), "Things that went wrong."},
		{metricLastError, gauge, ofTarget(), "When something last went wrong; not there if nothing has."},
	}
}
