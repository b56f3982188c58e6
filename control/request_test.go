package control

import (
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzDecode holds that whatever arrives either is a request that the client could have made, or
// is an errBadRequest.
func FuzzDecode(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", "/v1/status", "", ""},
		{"GET", "/v1/status", "after=1", ""},
		{"GET", "/v1/events", "", ""},
		{"GET", "/v1/events", "after=18446744073709551615&target=a%2Fb", ""},
		{"GET", "/v1/events", "after=-1", ""},
		{"GET", "/v1/events", "after=1&after=2", ""},
		{"GET", "/v1/events", "before=1;&%zz", ""},
		{"POST", "/v1/verify", "", "{}"},
		{"POST", "/v1/targets/imapd/rotate", "", `{"to":17}`},
		{"POST", "/v1/targets/imapd/restore", "", `{"force":true}`},
		{"POST", "/v1/targets/imapd/restore", "force=true", ``},
		{"POST", "/v1/targets/imapd/adopt", "", `{"file":"/x"}`},
		{"POST", "/v1/targets//adopt", "", `{"file":"/x"}`},
		{"POST", "/v1/targets/a/b/manage", "", `null`},
		{"POST", "/v1/targets/manage", "", ``},
		{"", "", "", "{{"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		req, err := decode(method, path, query, strings.NewReader(body))
		if err != nil {
			if !errors.Is(err, errBadRequest) {
				t.Errorf("error of the wrong kind: %v", err)
			}
			if req != (request{}) {
				t.Errorf("an error, and yet a request: %+v", req)
			}
			return
		}
		asked := url.URL{Path: requestPath(req.verb, req.target)}
		if req.verb == verbEvents {
			asked = eventsPath(req.target, req.after)
		}
		if asked.Path != path || asked.RawQuery == "" != (req.target == "" && req.after == 0) && req.verb == verbEvents {
			t.Errorf("the client would have asked %q for %+v, not %q %q", asked.String(), req, path, query)
		}
		if again, err := decode(method, path, asked.RawQuery, strings.NewReader(body)); err != nil || again != req {
			t.Errorf("what the client would have asked is %+v (%v), not %+v", again, err, req)
		}
		looks := req.verb == verbStatus || req.verb == verbPlan || req.verb == verbEvents
		if looks != (method == http.MethodGet) {
			t.Errorf("%s by %s", req.verb, method)
		}
		if req.after > 0 && req.verb != verbEvents || req.to < 0 || req.to > 0 && req.verb != verbRotate || req.force && req.verb != verbRestore ||
			(req.file != "") != (req.verb == verbAdopt) || req.file != "" && !filepath.IsAbs(req.file) {
			t.Errorf("impossible request %+v", req)
		}
	})
}
