package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
)

// lookTimeout is how long a request that only looks may take before the daemon counts as hung.
// One that changes or verifies something reads and writes whole generations, and has no limit but
// its context.
const lookTimeout = 30 * time.Second

// maxAnswer is far above the status of a thousand copies; more comes from no relinkd.
const maxAnswer = 64 << 20 // bytes

// Client asks the daemon at a socket. It is safe for concurrent use. Each method returns, beside
// what api.Service says: ErrNoDaemon when nobody listens, ErrDenied when the socket or the daemon
// keeps the caller out.
type Client struct {
	socket string
	http   http.Client
}

var _ api.Service = (*Client)(nil)

// NewClient makes a client of the daemon that listens on socket. Nothing is connected yet.
func NewClient(socket string) *Client {
	dialer := net.Dialer{Timeout: recvTimeout} // connect(2) waits while the daemon's backlog is full
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
		DisableKeepAlives:  true, // so that a Client holds nothing that has to be closed
	}}}
}

// Status is the daemon's state.
func (c *Client) Status(ctx context.Context) (*api.Status, error) {
	return look[api.Status](ctx, c, verbStatus)
}

// Plan is what the daemon would do now.
func (c *Client) Plan(ctx context.Context) (*api.Plan, error) {
	return look[api.Plan](ctx, c, verbPlan)
}

// PlanManage is what the daemon would do if it were told to manage target.
func (c *Client) PlanManage(ctx context.Context, target string) (*api.TargetPlan, error) {
	if target == "" {
		return nil, errUnnamed
	}
	ctx, cancel := looking(ctx)
	defer cancel()
	return ask[api.TargetPlan](ctx, c, http.MethodGet, url.URL{Path: requestPath(verbPlan, target)}, nil)
}

// errUnnamed keeps a target without a name from being all of them.
var errUnnamed = &textError{"no target has an empty name: `relinkd status` lists them", api.ErrNoTarget}

// Events is what the daemon keeps of a target, or of all and of itself for "", since the event with the
// ID after.
func (c *Client) Events(ctx context.Context, target string, after uint64) ([]api.Event, error) {
	ctx, cancel := looking(ctx)
	defer cancel()
	answer, err := ask[eventsAnswer](ctx, c, http.MethodGet, eventsPath(target, after), nil)
	if err != nil {
		return nil, err
	}
	return answer.Events, nil
}

// Verify has the daemon check the copies of one target, or of all when target is "".
func (c *Client) Verify(ctx context.Context, target string) (*api.Verification, error) {
	return ask[api.Verification](ctx, c, http.MethodPost, url.URL{Path: requestPath(verbVerify, target)}, nil)
}

// Manage has the daemon take a target over.
func (c *Client) Manage(ctx context.Context, target string) (*api.Report, error) {
	return change(ctx, c, verbManage, target, nil)
}

// Restore has the daemon put the packaged file back and let the target go.
func (c *Client) Restore(ctx context.Context, target string, force bool) (*api.Report, error) {
	return change(ctx, c, verbRestore, target, restoreBody{force})
}

// Rotate has the daemon move on to copy number to, or to the one that the policy chooses if to is 0.
func (c *Client) Rotate(ctx context.Context, target string, to int) (*api.Report, error) {
	return change(ctx, c, verbRotate, target, rotateBody{to})
}

// Reclone has the daemon make all copies of a target again.
func (c *Client) Reclone(ctx context.Context, target string) (*api.Report, error) {
	return change(ctx, c, verbReclone, target, nil)
}

// Adopt has the daemon take file, an absolute path, as a target's new source.
func (c *Client) Adopt(ctx context.Context, target, file string) (*api.Report, error) {
	return change(ctx, c, verbAdopt, target, adoptBody{File: file})
}

// AdoptGeneration has the daemon put an earlier generation of a target in force again.
func (c *Client) AdoptGeneration(ctx context.Context, target, hash string) (*api.Report, error) {
	return change(ctx, c, verbAdopt, target, adoptBody{Generation: hash})
}

// Generations asks what one target, or all for "", can go back to.
func (c *Client) Generations(ctx context.Context, target string) (*api.Generations, error) {
	ctx, cancel := looking(ctx)
	defer cancel()
	return ask[api.Generations](ctx, c, http.MethodGet, url.URL{Path: requestPath(verbGenerations, target)}, nil)
}

// Reload has the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) (*api.Report, error) {
	return ask[api.Report](ctx, c, http.MethodPost, url.URL{Path: requestPath(verbReload, "")}, nil)
}

// DaemonPID is the process that listens on the socket, as the kernel knew it when it began to.
func (c *Client) DaemonPID(ctx context.Context) (int, error) {
	conn, err := c.http.Transport.(*http.Transport).DialContext(ctx, "", "")
	if err != nil {
		return 0, c.unreached(ctx, err)
	}
	defer conn.Close()
	p, known := peerOf(conn.(*net.UnixConn))
	if !known || p.pid <= 0 {
		return 0, fmt.Errorf("cannot tell which process listens on %s", c.socket)
	}
	return int(p.pid), nil
}

// look asks for what only looks.
func look[T any](ctx context.Context, c *Client, v verb) (*T, error) {
	ctx, cancel := looking(ctx)
	defer cancel()
	return ask[T](ctx, c, http.MethodGet, url.URL{Path: requestPath(v, "")}, nil)
}

// looking is ctx with the limit for what only looks.
func looking(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, lookTimeout,
		fmt.Errorf("no answer within %v: the daemon hangs; its log may say why", lookTimeout))
}

// change asks for a change of one target. No name is no target, and never means all.
func change(ctx context.Context, c *Client, v verb, target string, body any) (*api.Report, error) {
	if target == "" {
		return nil, errUnnamed
	}
	return ask[api.Report](ctx, c, http.MethodPost, url.URL{Path: requestPath(v, target)}, body)
}

// ask sends one request and reads its answer; body nil means none.
func ask[T any](ctx context.Context, c *Client, method string, at url.URL, body any) (*T, error) {
	resp, err := c.send(ctx, method, at, body, "application/json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	v := new(T)
	if err := json.Unmarshal(answer, v); err != nil {
		return nil, c.strange(err.Error())
	}
	return v, nil
}

// send sends one request, without a body where that is nil, and returns the answer if it is a good one: the
// caller closes its body.
func (c *Client) send(ctx context.Context, method string, at url.URL, body any, accept string) (*http.Response, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("cannot encode the request: %v", err)
		}
	}
	at.Scheme, at.Host = "http", "relinkd"
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("cannot make the request: %v", err)
	}
	req.Header.Set("Accept", accept)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	var f failure
	if json.Unmarshal(answer, &f) != nil || f.Error == "" {
		return nil, c.strange(resp.Status)
	}
	return nil, decodeError(f)
}

// unreached says why the daemon could not be asked, or why its answer did not come.
func (c *Client) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("gave up on relinkd at %s: %w", c.socket, context.Cause(ctx))
	}
	// The URL that net/http adds is made up; what remains names the socket.
	if ue := new(url.Error); errors.As(err, &ue) {
		err = ue.Err
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ECONNREFUSED):
		return &textError{fmt.Sprintf("no relinkd is running (socket %s): "+
			"start it with `systemctl start relinkd` or `relinkd run`", c.socket), ErrNoDaemon}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return &textError{fmt.Sprintf("cannot connect to relinkd at %s: permission denied: "+
			"try again as root, or as a member of the group that control.group names", c.socket), ErrDenied}
	}
	return fmt.Errorf("cannot talk to relinkd at %s: %v: see whether it still runs, and its log", c.socket, err)
}

// strange says that what answered is no relinkd, or not of this version.
func (c *Client) strange(what string) error {
	return fmt.Errorf("what listens on %s does not answer as relinkd does (%s): "+
		"see who has it open (`ss -xlp`), and whether control.socket is right", c.socket, what)
}
