package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// tools are the programs that relinkd is measured beside.
type tools map[string]string // name -> path

// packages are Debian's, of each tool that may be missing.
func packages() map[string]string {
	return map[string]string{
		"pgrep":       "procps",
		"fuser":       "psmisc",
		"lsof":        "lsof",
		"inotifywait": "inotify-tools",
		"cc":          "gcc",
		"mkfs.ext4":   "e2fsprogs",
		"mkfs.xfs":    "xfsprogs",
		"cp":          "coreutils",
		"sh":          "dash",
	}
}

// findTools looks for the tools, and installs those that are missing where that is asked for and
// possible. One that stays missing costs its rows alone.
func findTools(ctx context.Context, o options) tools {
	found := tools{}
	missing := found.look()
	if len(missing) == 0 || !o.install || !root() {
		return found
	}
	install := append([]string{"install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"}, missing...)
	fmt.Fprintf(o.progress, "peers: installing %s …\n", strings.Join(missing, " "))
	for _, args := range [][]string{install, {"update"}, install} { // a new machine has no package lists
		out, err := exec.CommandContext(ctx, "apt-get", args...).CombinedOutput()
		if err != nil {
			fmt.Fprintf(o.progress, "peers: apt-get %s: %v: %s\n", args[0], err, bytes.TrimSpace(out))
			continue
		}
		if missing = found.look(); len(missing) == 0 {
			break
		}
	}
	return found
}

// look notes the tools that are there and returns the packages of the others.
func (t tools) look() (missing []string) {
	for name, pkg := range packages() {
		path, err := exec.LookPath(name)
		if err != nil {
			missing = append(missing, pkg)
			continue
		}
		t[name] = path
	}
	return missing
}

// need returns why the tools are not there; nil when they are.
func (t tools) need(names ...string) error {
	for _, name := range names {
		if t[name] == "" {
			return notMeasured(fmt.Sprintf("there is no %s, from Debian's package %s", name, packages()[name]))
		}
	}
	return nil
}

// versions is the packages that the tools are from.
func (t tools) versions(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Package} ${Version}\n",
		"procps", "psmisc", "lsof", "inotify-tools", "coreutils", "dash", "gcc").Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(out) == 0 {
		return fmt.Sprintf("unknown (dpkg-query: %v)", err)
	}
	return strings.Join(lines, ", ")
}
