// Package control lets the command line talk to the daemon: HTTP and JSON over a unix socket that
// the kernel vouches for. It carries requests to a api.Service and answers back, and must never
// decide anything about a target itself, nor change any file but its own socket.
//
// Whoever may connect may read (GET); changing and verifying (POST) is for root and for the user
// that the daemon runs as, whatever the socket's mode says.
//
//	GET  /v1/status                     api.Status
//	GET  /metrics                       metrics for Prometheus
//	GET  /v1/plan                       api.Plan
//	GET  /v1/targets/TARGET/plan        api.TargetPlan, what manage would do
//	GET  /v1/events?target=&after=      {"events":[api.Event …]}; with "Accept: text/event-stream" as
//	                                    server-sent events, first those that are kept, then as they happen
//	POST /v1/verify                     api.Verification of all targets
//	POST /v1/targets/TARGET/verify      api.Verification of one
//	POST /v1/targets/TARGET/manage      api.Report
//	POST /v1/targets/TARGET/restore     api.Report; body {"force":true}
//	POST /v1/targets/TARGET/rotate      api.Report; body {"to":17}
//	POST /v1/targets/TARGET/reclone     api.Report
//	POST /v1/targets/TARGET/adopt       api.Report; body {"file":"/absolute"}
//	POST /v1/reload                     api.Report
//
// Anything else is answered {"error":"…","kind":"…"} and changes nothing.
//
// On a TCP port, where one is configured, Web answers to /metrics, /v1/status and /v1/events in the same
// way, and to these; it knows nothing that changes anything:
//
//	GET  /v1/live?target=&after=        server-sent events: "status" with a api.Status, at once and
//	                                    whenever it has changed, once a second at most; "event" with each
//	                                    api.Event, as /v1/events
//	GET  /                              the status page
package control
