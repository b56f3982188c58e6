package control

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// guard lets through what looks only, and asks for this host by a name that is its own: a page of somebody
// else's, whose name was made to lead here, is not to read what it could not reach otherwise (DNS
// rebinding). names nil is for any name.
func guard(names []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connOf(r.Context()).work()
		// Each write of a stream sets another one.
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTimeout))
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case r.ContentLength != 0: // it need not come, and is not waited for
			http.NewResponseController(w).SetReadDeadline(time.Now())
			h.Set("Connection", "close")
			http.Error(w, "a request for something has no body", http.StatusBadRequest)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "nothing can be changed here: use the relinkd command", http.StatusMethodNotAllowed)
		case names != nil && !slices.Contains(names, hostName(r.Host)):
			http.Error(w, fmt.Sprintf("this is not %q: ask for %s", r.Host, names[0]), http.StatusMisdirectedRequest)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hosts is the names that a listener at an address answers to: on a loopback address that is localhost,
// those of loopback, and what the address itself says; elsewhere nil, for any.
func hosts(at net.Addr, address string) []string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() {
		return nil
	}
	return []string{hostName(address), "localhost", "127.0.0.1", "::1", tcp.IP.String()}
}

// hostName is a host without port and brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}
