package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Sentences tells what copies of the executable can and cannot do on this host, for people. It promises
// nothing. Each is a paragraph of its own, not wrapped.
func (s *Share) Sentences() []string {
	return []string{s.measured(), s.divides(), s.figures(), s.here()}
}

// figures is what was measured elsewhere of such an executable.
func (s *Share) figures() string {
	if s.most() {
		return "Measured with 12,000 processes of a static program: starting one more took as long in the median " +
			"with 60 copies as with one, but at worst 13 to 31 ms (once 81) instead of 78 to 184 ms."
	}
	return "Measured with 3,000 dynamic imapd on 2 cores (5 of 287 mappings divided): no difference between 1 " +
		"and 60 copies, neither in the mean nor in the median nor for the slowest 1 %."
}

// measured is what was looked at.
func (s *Share) measured() string {
	name := filepath.Base(s.Path)
	if s.PID == 0 {
		why := "No process runs " + name
		if s.Unreadable > 0 {
			why += fmt.Sprintf(", as far as this user can see (%d cannot be looked at)", s.Unreadable)
		}
		if s.Static {
			return fmt.Sprintf("%s. The executable is static, with %s to be mapped.", why, count(s.Own, "segment"))
		}
		return fmt.Sprintf("%s. The executable has %s to be mapped, and needs at least %s; "+
			"with a process of it running the mappings can be counted.", why, count(s.Own, "segment"), counted(len(s.Others), "shared library", "shared libraries"))
	}
	of := ""
	if s.Processes > 1 {
		of = fmt.Sprintf(", one of %d", s.Processes)
	}
	return fmt.Sprintf("%s (process %d%s) has %s: %d of the executable, %d of %s, %d of no file.",
		name, s.PID, of, count(s.Mappings, "mapping"), s.Own, s.OfFiles()-s.Own, count(len(s.Others), "other file"), s.Mappings-s.OfFiles())
}

// divides is what copies change of that.
func (s *Share) divides() string {
	const tree = "Linux keeps one tree of mappings, under one lock, for each file. "
	switch {
	case s.Static && s.PID == 0:
		return tree + "Copies divide the executable's, and there is no other."
	case s.PID == 0:
		return tree + "Copies divide the executable's; " + s.named() + " keep theirs, one for all processes."
	case s.most():
		return tree + fmt.Sprintf("Copies divide %d of %d: %s.", s.Own, s.OfFiles(), percent(s.Own, s.OfFiles()))
	}
	return tree + fmt.Sprintf("Copies divide the executable's, %d of %d (%s); %s keep theirs, one for all processes.",
		s.Own, s.OfFiles(), percent(s.Own, s.OfFiles()), s.named())
}

// named is a few of the other files, first those that every process of the host maps.
func (s *Share) named() string {
	const few = 2
	var first, rest []string
	for _, m := range s.Others {
		switch name := filepath.Base(m.Name); {
		case strings.HasPrefix(name, "libc.so"), strings.HasPrefix(name, "ld-linux"), strings.HasPrefix(name, "ld-musl"):
			first = append(first, name)
		case strings.Contains(name, ".so"):
			rest = append(rest, name)
		}
	}
	slices.Sort(first)
	slices.Reverse(first) // libc before the linker
	names := append(first, rest...)
	if len(names) == 0 {
		return "the other files"
	}
	return strings.Join(names[:min(few, len(names))], ", ") + " and the like"
}

// here is what that may mean on this host.
func (s *Share) here() string {
	const manyCores = 16 // where waiting for a lock begins to outweigh the work under it
	where := "This host's number of cores is not known. "
	if s.Cores > 0 {
		where = fmt.Sprintf("This host has %s. ", count(s.Cores, "core"))
	}
	switch {
	case s.most():
		return where + "Where memory is short the slowest starts may get shorter, and that is all that was seen; measure before and after."
	case s.Cores >= manyCores:
		return where + "With many, processes that start and end wait for the libraries' locks first, which copies do not divide; expect little, and measure before and after."
	}
	return where + "Expect little of copies alone, and measure before and after."
}

// percent is a share in words that are never better than the truth.
func percent(part, of int) string {
	switch {
	case of == 0:
		return "0 %"
	case part > 0 && 100*part < of:
		return "below 1 %"
	}
	return fmt.Sprintf("%d %%", 100*part/of)
}

func count(n int, what string) string { return counted(n, what, what+"s") }

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
