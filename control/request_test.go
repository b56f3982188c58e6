package control

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzDecode holds that whatever arrives either is a request that the client could have made, or
// is an errBadRequest.
func FuzzDecode(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/status", ""},
		{"POST", "/v1/verify", "{}"},
		{"POST", "/v1/targets/imapd/rotate", `{"to":17}`},
		{"POST", "/v1/targets/imapd/restore", `{"force":true}`},
		{"POST", "/v1/targets/imapd/adopt", `{"file":"/x"}`},
		{"POST", "/v1/targets//adopt", `{"file":"/x"}`},
		{"POST", "/v1/targets/a/b/manage", `null`},
		{"POST", "/v1/targets/manage", ``},
		{"", "", "{{"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		req, err := decode(method, path, strings.NewReader(body))
		if err != nil {
			if !errors.Is(err, errBadRequest) {
				t.Errorf("error of the wrong kind: %v", err)
			}
			if req != (request{}) {
				t.Errorf("an error, and yet a request: %+v", req)
			}
			return
		}
		if got := requestPath(req.verb, req.target); got != path {
			t.Errorf("the client would have asked %q for %+v, not %q", got, req, path)
		}
		looks := req.verb == verbStatus || req.verb == verbPlan
		if looks != (method == http.MethodGet) {
			t.Errorf("%s by %s", req.verb, method)
		}
		if req.to < 0 || req.to > 0 && req.verb != verbRotate || req.force && req.verb != verbRestore ||
			(req.file != "") != (req.verb == verbAdopt) || req.file != "" && !filepath.IsAbs(req.file) {
			t.Errorf("impossible request %+v", req)
		}
	})
}
