package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"relinkd/api"
)

// maxLine is far above the longest line of a stream of events.
const maxLine = 1 << 20 // bytes

// ErrEnded is a stream of events that the daemon has ended: it stops. Follow with the last ID when it is
// back.
var ErrEnded = errors.New("relinkd has ended the stream of events: it stops, or is started anew")

// eventsPath is where the events of a target since after are.
func eventsPath(target string, after uint64) url.URL {
	query := url.Values{}
	if target != "" {
		query.Set("target", target)
	}
	if after > 0 {
		query.Set("after", strconv.FormatUint(after, 10))
	}
	return url.URL{Path: requestPath(verbEvents, ""), RawQuery: query.Encode()}
}

// Follow calls tell with the events of a target, or of all and the daemon itself for "", since the one with
// the ID after, and then with each as it happens. It returns nil when ctx ends, what tell returns when that
// is an error, and ErrEnded when the daemon ends the stream. A daemon that hangs is noticed by its silence.
func (c *Client) Follow(ctx context.Context, target string, after uint64, tell func(api.Event) error) error {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(lookTimeout, func() {
		cancel(fmt.Errorf("no answer within %v: the daemon hangs; its log may say why", lookTimeout))
	})
	defer silence.Stop()
	resp, err := c.send(within, http.MethodGet, eventsPath(target, after), nil, eventStream)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	err = readEvents(resp.Body, func() { silence.Reset(lookTimeout) }, tell)
	switch {
	case ctx.Err() != nil:
		return nil
	case within.Err() != nil:
		return c.unreached(within, err)
	}
	return err
}

// readEvents reads a stream of events until it ends, which is ErrEnded, or tell fails. alive is called with
// each line.
func readEvents(stream io.Reader, alive func(), tell func(api.Event) error) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		alive()
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue // IDs and kinds are in the data as well
		}
		var e api.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("cannot understand what relinkd tells of: %v", err)
		}
		if err := tell(e); err != nil {
			return err
		}
	}
	return ErrEnded
}
