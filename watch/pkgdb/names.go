package pkgdb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// diversion is one entry of dpkg's diversions: every package but pkg has its file from installed
// as to. pkg is ":" for a local administrator's diversion, which no package is exempt from.
type diversion struct{ from, to, pkg string }

// readDiversions reads dpkg's diversions; a missing file has none.
func readDiversions(path string) ([]diversion, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read dpkg's diversions: %v", err)
	}
	defer f.Close()
	ds, err := parseDiversions(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read dpkg's %s: %v", path, err)
	}
	return ds, nil
}

// parseDiversions reads entries of three lines each.
func parseDiversions(r io.Reader) ([]diversion, error) {
	var ds []diversion
	var entry []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if entry = append(entry, lines.Text()); len(entry) == 3 {
			ds = append(ds, diversion{entry[0], entry[1], entry[2]})
			entry = entry[:0]
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(entry) != 0 {
		return nil, errors.New("the last entry has not all of its three lines")
	}
	return ds, nil
}

// claim is a line that, in a package's list, means that the package installs a file at path.
type claim struct {
	line   string
	only   string // the one package of which that is true; "" for any
	except string // the one of which it is not
}

// by reports whether the claim holds for pkg.
func (c claim) by(pkg string) bool {
	return (c.only == "" || c.only == pkg) && (c.except == "" || c.except != pkg)
}

// claimsOf lists the claims to a path that is spelled in any of these ways.
func claimsOf(aliases map[string]struct{}, diversions []diversion) []claim {
	var claims []claim
	for line := range aliases {
		c := claim{line: line}
		for _, d := range diversions {
			if d.from == line {
				c.only = d.pkg // ":" is no package's name
			}
		}
		claims = append(claims, c)
	}
	for _, d := range diversions {
		if _, ok := aliases[d.to]; ok {
			claims = append(claims, claim{line: d.from, except: d.pkg})
		}
	}
	return claims
}

// addAliases adds the ways in which a list may spell path: through symbolic links, and with or
// without /usr where /lib and its like are links into it, as since the merge of /usr. Those
// that were found before stay: the directory may be gone with the package.
func addAliases(aliases map[string]struct{}, path string) {
	aliases[path] = struct{}{}
	if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		aliases[filepath.Join(real, filepath.Base(path))] = struct{}{}
	}
	for _, top := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if text, err := os.Readlink("/" + top); err != nil || strings.TrimPrefix(text, "/") != "usr/"+top {
			continue
		}
		for spelling := range aliases {
			if rest, ok := strings.CutPrefix(spelling, "/usr/"+top+"/"); ok {
				aliases["/"+top+"/"+rest] = struct{}{}
			} else if rest, ok := strings.CutPrefix(spelling, "/"+top+"/"); ok {
				aliases["/usr/"+top+"/"+rest] = struct{}{}
			}
		}
	}
}
