package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// describe begins the report with the machine.
func describe(ctx context.Context, b *bench) *report {
	r := &report{}
	say := func(name, format string, a ...any) {
		r.facts = append(r.facts, name+": "+fmt.Sprintf(format, a...))
	}
	say("machine", "%s, %d cores, %s, load average %s",
		field("/proc/cpuinfo", "model name"), runtime.NumCPU(), memory(), load())
	say("kernel", "%s", kernel())
	say("distribution", "%s", strings.Trim(field("/etc/os-release", "PRETTY_NAME"), `"`))
	say("peers", "%s", b.tools.versions(ctx))
	say("disk (upgrade, burst, clone)", "%s", fileSystem(b.disk))
	if b.why == "" {
		say("links (latency, rotation)", "%s, in a sparse file on the disk above", fileSystem(b.journal))
	} else {
		say("links (latency, rotation)", "the disk above; an ext4 with a journal could not be made: %s", b.why)
	}
	priority := "at the usual priority: not root"
	if root() {
		priority = fmt.Sprintf("at nice %d, as root", niceness)
	}
	say("relinkd", "%s, the daemon %s", version(ctx, b.relinkd), priority)
	say("figures", "medians of %d rounds in turns, relinkd, peer, relinkd, peer …, and ratios of the rounds, where no other number is named", b.rounds)
	if b.quick {
		say("note", "made with -quick: the figures mean nothing")
	}
	return r
}

// field is the value of the first line "name: value" or "name=value" of a file, "unknown" when
// there is none.
func field(file, name string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		key, value, found := strings.Cut(lines.Text(), ":")
		if !found {
			key, value, found = strings.Cut(lines.Text(), "=")
		}
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// memory is what the machine has.
func memory() string {
	kib, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64)
	if err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%.1f GiB memory", kib/(1<<20))
}

// kernel is what uname -srm prints.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return strings.Join([]string{
		unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]),
	}, " ")
}

// load is the mean number of running processes over the last minute.
func load() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(content), " ")
	return one
}

// fileSystem names the file system of a directory, and says of an ext4 whether it has a journal.
func fileSystem(dir string) string {
	out, err := exec.Command("findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", dir).Output()
	words := strings.Fields(string(out))
	if err != nil || len(words) < 2 {
		return "unknown"
	}
	kind, source := words[0], words[1]
	if kind != "ext4" {
		return kind
	}
	device, err := filepath.EvalSymlinks(source)
	if err != nil {
		return kind
	}
	// jbd2 has a directory there for each journal: device, "-", inode of the journal.
	if journals, err := filepath.Glob("/proc/fs/jbd2/" + filepath.Base(device) + "-*"); err != nil || len(journals) == 0 {
		return kind + " without a journal"
	}
	return kind + " with a journal"
}

// version is what relinkd says of itself.
func version(ctx context.Context, program string) string {
	out, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return "version unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(line, "relinkd ")
}
