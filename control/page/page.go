// Package page is the status page: what `relinkd status` tells, to be looked at in a browser. It serves a
// few embedded files and must never ask the daemon anything itself, nor change anything: the page does
// the asking, of GET v1/status, v1/events and v1/live beside it.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

// index is the asset that stands at "/".
const index = "index.html"

// types is how a browser must read each kind of asset; the host's own table of types is not asked.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// policy lets the page load nothing, and reach nobody, but the server that it came from.
const policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is one file of the page as it is answered.
type asset struct {
	kind, tag string // Content-Type and ETag
	content   []byte
}

// Handler answers GET and HEAD of the page at "/" and of its parts beside it, and 404 for anything else. It
// holds no state: a browser may keep what it got, and asks each time whether that is still right.
func Handler() http.Handler {
	parts := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		a, there := parts[r.URL.Path]
		switch {
		case !there:
			http.Error(w, "there is nothing here: the status page is at /", http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the status page can only be read", http.StatusMethodNotAllowed)
		default:
			h.Set("Content-Type", a.kind)
			h.Set("Cache-Control", "no-cache")
			h.Set("ETag", a.tag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
		}
	})
}

// load is all assets by the path of their URL. What is embedded can be read, and is of a known type: a test
// asks for each.
func load() map[string]asset {
	all := map[string]asset{}
	files, _ := fs.Sub(assets, "assets")
	names, _ := fs.Glob(files, "*")
	for _, name := range names {
		content, _ := fs.ReadFile(files, name)
		all["/"+strings.TrimPrefix(name, index)] = asset{
			kind:    types[path.Ext(name)],
			tag:     fmt.Sprintf(`"%.16x"`, sha256.Sum256(content)),
			content: content,
		}
	}
	return all
}
