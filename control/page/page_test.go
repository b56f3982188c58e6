package page

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ask is the answer to one request.
func ask(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// everything is the paths of all that is served.
func everything(t *testing.T) []string {
	t.Helper()
	var paths []string
	for p := range load() {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range []string{"/", "/favicon.svg", "/page.css", "/page.js"} {
		if !slices.Contains(paths, p) {
			t.Fatalf("%s is not served, only %q", p, paths)
		}
	}
	return paths
}

func TestEachPart(t *testing.T) {
	kinds := map[string]string{
		"": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	for _, p := range everything(t) {
		answer, body := ask(t, "GET", p)
		if answer.StatusCode != 200 || body == "" {
			t.Errorf("GET %s: %s with %d bytes", p, answer.Status, len(body))
		}
		for name, want := range map[string]string{
			"Content-Type":           kinds[path.Ext(p)],
			"Cache-Control":          "no-cache",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer",
		} {
			if got := answer.Header.Get(name); got != want || want == "" {
				t.Errorf("GET %s: %s is %q, want %q", p, name, got, want)
			}
		}
		if got := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") || strings.Contains(got, "unsafe") {
			t.Errorf("GET %s: Content-Security-Policy is %q", p, got)
		}

		head, none := ask(t, "HEAD", p)
		if head.StatusCode != 200 || none != "" || head.Header.Get("Content-Length") != answer.Header.Get("Content-Length") {
			t.Errorf("HEAD %s: %s with %d bytes, Content-Length %q", p, head.Status, len(none), head.Header.Get("Content-Length"))
		}

		tag := answer.Header.Get("ETag")
		if !regexp.MustCompile(`^"[0-9a-f]{16,}"$`).MatchString(tag) {
			t.Errorf("GET %s: ETag is %q", p, tag)
		}
		if again, body := ask(t, "GET", p, "If-None-Match", tag); again.StatusCode != 304 || body != "" {
			t.Errorf("GET %s of what is known: %s with %d bytes", p, again.Status, len(body))
		}
		if other, _ := ask(t, "GET", p, "If-None-Match", `"0123456789abcdef"`); other.StatusCode != 200 {
			t.Errorf("GET %s of what has changed: %s", p, other.Status)
		}
	}
}

func TestTagsTellPartsApart(t *testing.T) {
	tags := map[string]string{}
	for _, p := range everything(t) {
		answer, _ := ask(t, "GET", p)
		tag := answer.Header.Get("ETag")
		if other := tags[tag]; other != "" {
			t.Errorf("%s and %s have the tag %s", p, other, tag)
		}
		tags[tag] = p
	}
}

func TestNothingElse(t *testing.T) {
	for _, p := range []string{"/index.html", "/assets/page.js", "/page.js/", "/nothing", "//", "/../page.go", "/page.go", "/v1/status"} {
		if answer, body := ask(t, "GET", "http://host"+p); answer.StatusCode != 404 || !strings.Contains(body, "the status page is at /") {
			t.Errorf("GET %s: %s: %s", p, answer.Status, body)
		}
	}
}

func TestOnlyToBeRead(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if answer, _ := ask(t, method, "/"); answer.StatusCode != 405 || answer.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s /: %s, Allow: %q", method, answer.Status, answer.Header.Get("Allow"))
		}
	}
}

// What the policy would refuse, or what would leave the host, must not be there at all.
func TestNothingFromOutsideAndNothingInline(t *testing.T) {
	outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]|@import|url\(|data:`)
	inline := regexp.MustCompile(`(?i)\son[a-z]+\s*=\s*["']|\sstyle\s*=|<style|javascript:|<script(?:[^>]*)>[^<]|\beval\(|new Function|innerHTML|insertAdjacentHTML`)
	namespace := `http://www.w3.org/2000/svg` // a name, which nobody asks for
	for _, p := range everything(t) {
		_, body := ask(t, "GET", p)
		body = strings.ReplaceAll(body, namespace, "")
		if found := outside.FindString(body); found != "" {
			t.Errorf("%s has %q, from outside", p, found)
		}
		if found := inline.FindString(body); found != "" && path.Ext(p) != ".css" {
			t.Errorf("%s has %q, which the policy forbids", p, found)
		}
	}
}

// Every part that one names is served, and each is named by another.
func TestPartsFitTogether(t *testing.T) {
	names := regexp.MustCompile(`(?:href|src)="([a-z]+\.[a-z]+)"|from "\./([a-z]+\.js)"`)
	named := []string{"/"}
	for _, p := range everything(t) {
		_, body := ask(t, "GET", p)
		for _, found := range names.FindAllStringSubmatch(body, -1) {
			named = append(named, "/"+found[1]+found[2])
		}
	}
	slices.Sort(named)
	if named = slices.Compact(named); !slices.Equal(named, everything(t)) {
		t.Errorf("the parts name %q, and served are %q", named, everything(t))
	}
}
