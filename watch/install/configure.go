package install

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"relinkd/watch/pkgdb"
)

// setcap is the command by which a package's script gives a program capabilities. It refuses a symbolic link, which
// chown, chmod, setfacl and dpkg-statoverride follow: what these set on our link is applied to all copies.
const setcap = "setcap"

// Unconfigured tells of a package that dpkg, which is at work, has unpacked and not configured yet, and whose postinst
// is about to give the file at path capabilities: in words, "" for none. Where it cannot be told there is none.
//
// dpkg notes a change of a package's state in a file of its own below updates, and later in status. The scripts of the
// package that it is unpacking are in tmp.ci at first, and in info from then on.
func (w *Watcher) Unconfigured() (why string) {
	if holder, err := pkgdb.DpkgLocked(w.adminDir); err != nil || holder == "" {
		return ""
	}
	if w.callsSetcap(filepath.Join(w.adminDir, "tmp.ci", "postinst")) {
		return "dpkg is unpacking the package whose postinst calls setcap"
	}
	for _, pkg := range unconfigured(w.adminDir) {
		for _, pattern := range []string{pkg + ".postinst", pkg + ":*.postinst"} {
			scripts, _ := filepath.Glob(filepath.Join(w.adminDir, "info", pattern)) // the pattern is a good one
			for _, script := range scripts {
				if w.callsSetcap(script) {
					return fmt.Sprintf("dpkg has not configured %s yet, whose postinst calls setcap", pkg)
				}
			}
		}
	}
	return ""
}

// callsSetcap reports whether script calls setcap and speaks of the file at path, by its path or by its name alone.
func (w *Watcher) callsSetcap(script string) bool {
	const most = 1 << 20
	info, err := os.Stat(script)
	if err != nil || !info.Mode().IsRegular() || info.Size() > most {
		return false
	}
	content, err := os.ReadFile(script)
	if err != nil {
		return false
	}
	var code strings.Builder
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			code.WriteString(line)
		}
	}
	return hasWord(code.String(), w.name) && hasWord(code.String(), setcap)
}

// hasWord reports whether word is in text, and not a part of another file's name.
func hasWord(text, word string) bool {
	const other = `[^A-Za-z0-9_.+-]`
	return regexp.MustCompile(`(^|` + other + `)` + regexp.QuoteMeta(word) + `($|` + other + `)`).MatchString(text)
}

// unconfigured is the packages that are unpacked, wholly or in part, and not configured.
func unconfigured(adminDir string) (pkgs []string) {
	states := map[string]string{}
	readStates(filepath.Join(adminDir, "status"), states)
	updates, err := os.ReadDir(filepath.Join(adminDir, "updates"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, u := range updates { // in their order: a later one counts
		if strings.Trim(u.Name(), "0123456789") == "" {
			readStates(filepath.Join(adminDir, "updates", u.Name()), states)
		}
	}
	for pkg, state := range states {
		if state == "half-installed" || state == "unpacked" || state == "half-configured" {
			pkgs = append(pkgs, pkg)
		}
	}
	slices.Sort(pkgs)
	return pkgs
}

// readStates takes the states of packages from a file of dpkg's: the third word of "Status: install ok unpacked".
func readStates(path string, states map[string]string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	pkg := ""
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch key {
		case "Package":
			pkg = strings.TrimSpace(value)
		case "Status":
			if words := strings.Fields(value); len(words) == 3 && pkg != "" {
				states[pkg] = words[2]
			}
		}
	}
}
