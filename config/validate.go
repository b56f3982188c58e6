package config

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"relinkd/linker/launcher"
	"relinkd/pool"
)

// validate finds the places that path = "auto" means, and reports what no single key shows: keys at
// odds with each other, with another target, or with the host. It leaves keys alone of which a value
// was refused already.
func (l *loader) validate(c *Config) {
	var placed []*Target // those whose path is known
	for i := range c.Targets {
		t := &c.Targets[i]
		l.order(t.Name, "copies", "max_copies", t.Copies <= t.MaxCopies, t.Copies, t.MaxCopies)
		l.order(t.Name, "settle.quiet", "settle.max", t.Settle.Quiet <= t.Settle.Max, t.Settle.Quiet, t.Settle.Max)
		if l.place(t) {
			l.fitsLauncher(t)
			for _, other := range placed {
				l.apart(other, t)
			}
			placed = append(placed, t)
			l.outsideInstall([]string{"state", "dir"}, c.State.Dir, resolvedDir(c.State.Dir), t)
			l.outsideInstall([]string{"control", "socket"}, c.Control.Socket, resolved(c.Control.Socket), t)
		}
	}
	l.realFiles([]string{"state", "dir"}, c.State.Dir, resolvedDir(c.State.Dir))
	l.realFiles([]string{"control", "socket"}, c.Control.Socket, resolved(c.Control.Socket))
	l.apartFromState(c)
	l.group(c.Control.Group)
}

// order reports that of two keys of a target the small one is above the large one, at the one that
// was given.
func (l *loader) order(target, small, large string, fine bool, smallValue, largeValue any) {
	smallPath := append([]string{"target", target}, strings.Split(small, ".")...)
	largePath := append([]string{"target", target}, strings.Split(large, ".")...)
	switch {
	case fine, l.refused[dotted(smallPath...)], l.refused[dotted(largePath...)]:
	case l.given(smallPath...):
		l.report(smallPath, fmt.Sprint(smallValue), fmt.Sprintf("at most %s, which is %v", large, largeValue))
	default:
		l.report(largePath, fmt.Sprint(largeValue), fmt.Sprintf("at least %s, which is %v: lower that as well", small, smallValue))
	}
}

// place resolves the target's path and reports one that cannot be a target's. It returns whether the
// path is good.
func (l *loader) place(t *Target) bool {
	key := []string{"target", t.Name, "path"}
	if l.refused[dotted(key...)] {
		return false
	}
	if t.Path == autoPath {
		path, found, allowed := findTarget(l.root, t.Name)
		if found != "" {
			l.report(key, found, allowed)
			return false
		}
		t.Path = path
	}
	if !l.realFiles(key, t.Path, resolved(t.Path)) {
		return false
	}
	if slices.Contains(strings.Split(resolved(t.Path), "/"), pool.PrivateDir) {
		l.report(key, fmt.Sprintf("%q, which is in relinkd's own directory", t.Path), "the installed name of an executable")
		return false
	}
	return true
}

// fitsLauncher reports a path that is too long for a launcher, which holds that of the private link.
func (l *loader) fitsLauncher(t *Target) {
	if longest := launcher.MaxPath - len("/"+pool.PrivateDir); t.Publish == PublishLauncher && len(t.Path) > longest {
		l.report([]string{"target", t.Name, "path"}, fmt.Sprintf("a path of %d bytes", len(t.Path)),
			fmt.Sprintf(`at most %d bytes with publish = "launcher"`, longest))
	}
}

// apart reports two targets that would get in each other's way: of one path, or one with the name of
// something that relinkd keeps for the other. Two names of one file, as multi-call programs have, are two
// targets with copies of their own; a symbolic link is for the target itself to refuse.
func (l *loader) apart(a, b *Target) {
	nameA, nameB := filepath.Base(a.Path), filepath.Base(b.Path)
	dirA, dirB := filepath.Dir(a.Path), filepath.Dir(b.Path)
	key := []string{"target", b.Name, "path"}
	switch oneDir := dirA == dirB || sameFile(dirA, dirB); {
	case oneDir && nameA == nameB:
		l.report(key, fmt.Sprintf("%q, which is the path of target %s", b.Path, a.Name), "a path of its own")
	case oneDir && keeps(nameA, nameB):
		l.report(key, fmt.Sprintf("%q, a name that relinkd uses for target %s", b.Path, a.Name), reservedBy(nameA))
	case oneDir && keeps(nameB, nameA):
		l.report([]string{"target", a.Name, "path"}, fmt.Sprintf("%q, a name that relinkd uses for target %s", a.Path, b.Name), reservedBy(nameB))
	}
}

// keeps reports whether relinkd may make a file called file for the executable called name: a copy,
// or something in the private directory, where all names are that of the executable or of a copy with
// a suffix after a dot.
func keeps(name, file string) bool {
	rest, ok := strings.CutPrefix(file, name)
	if !ok {
		return false
	}
	stem, _, _ := strings.Cut(rest, ".")
	return stem == "" || pool.CopyNumber(name, name+stem) > 0
}

func reservedBy(name string) string {
	return fmt.Sprintf("another name than %s and %s, with or without a suffix after a dot", name, pool.CopyName(name, 1))
}

// realFiles reports a path, really at real, among the kernel's own files, where nothing that is made
// lasts. It returns whether path is elsewhere.
func (l *loader) realFiles(key []string, path, real string) bool {
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if !l.refused[dotted(key...)] && below(real, dir) && !below(real, "/dev/shm") {
			l.report(key, fmt.Sprintf("%q, which is in %s", path, dir), "a path on a file system for files")
			return false
		}
	}
	return true
}

// outsideInstall reports a place of relinkd's own, the setting key, that is really at real, in or below
// a target's install directory, which belongs to the packages.
func (l *loader) outsideInstall(key []string, path, real string, t *Target) {
	install := filepath.Dir(t.Path)
	if l.refused[dotted(key...)] || !below(real, resolvedDir(install)) {
		return
	}
	if l.given(key...) {
		l.report(key, fmt.Sprintf("%q, which is inside %s of target %s", path, install, t.Name), "a path outside it")
		return
	}
	name := dotted(key...)
	l.report([]string{"target", t.Name, "path"}, fmt.Sprintf("%q, a directory that holds %s (%s)", t.Path, name, path), "another directory, or another "+name)
}

// apartFromState reports a socket in the state directory, where it could have the name of a file that
// relinkd keeps there.
func (l *loader) apartFromState(c *Config) {
	if l.refused["state.dir"] || l.refused["control.socket"] || !below(resolved(c.Control.Socket), resolvedDir(c.State.Dir)) {
		return
	}
	key := []string{"control", "socket"}
	if !l.given(key...) {
		key = []string{"state", "dir"}
	}
	l.report(key, fmt.Sprintf("the socket %q inside the state directory %q", c.Control.Socket, c.State.Dir), "one outside the other")
}

// below reports whether path is dir or something in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// resolved is where path stands once the symbolic links of its directories are followed. What path's
// own name stands for is not followed.
func resolved(path string) string {
	return filepath.Join(resolvedDir(filepath.Dir(path)), filepath.Base(path))
}

// resolvedDir is where dir leads, as far as there are directories.
func resolvedDir(dir string) string {
	rest := ""
	for {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == "/" {
			return filepath.Join(dir, rest)
		}
		dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
	}
}

// group reports a group that the host does not have.
func (l *loader) group(name string) {
	if name == "" {
		return
	}
	_, err := user.LookupGroup(name)
	if err == nil {
		return
	}
	found := fmt.Sprintf("%q, which cannot be looked up (%v)", name, err)
	if unknown := user.UnknownGroupError(""); errors.As(err, &unknown) {
		found = fmt.Sprintf("%q, which is no group of this host", name)
	}
	l.report([]string{"control", "group"}, found, `"" or the name of a group: groupadd `+name)
}
