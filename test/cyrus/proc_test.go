package cyrus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// file identifies a file independently of relinkd's own code.
type file struct{ dev, ino uint64 }

func (f file) String() string { return fmt.Sprintf("%d:%d", f.dev, f.ino) }

// fileAt identifies what path leads to; the zero file when there is nothing.
func fileAt(path string) file {
	info, err := os.Stat(path)
	if err != nil {
		return file{}
	}
	st := info.Sys().(*syscall.Stat_t)
	return file{uint64(st.Dev), st.Ino}
}

// process is a process by its number.
type process int

// processes lists those that /proc shows now.
func processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []process
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, process(pid))
		}
	}
	return all
}

func (p process) dir(name string) string { return filepath.Join("/proc", strconv.Itoa(int(p)), name) }

// executable is the file that p runs; the zero file for a kernel thread and for one that ended.
func (p process) executable() file { return fileAt(p.dir("exe")) }

// comm is p's command name.
func (p process) comm() string {
	b, _ := os.ReadFile(p.dir("comm"))
	return strings.TrimSpace(string(b))
}

// census counts the processes of every executable.
func census() map[file]int {
	running := map[file]int{}
	for _, p := range processes() {
		if f := p.executable(); f != (file{}) {
			running[f]++
		}
	}
	return running
}

// resources is what a process holds that must not grow with its work.
type resources struct{ descriptors, threads, children int }

func (p process) resources() resources {
	var r resources
	fds, _ := os.ReadDir(p.dir("fd"))
	tasks, _ := os.ReadDir(p.dir("task"))
	r.descriptors, r.threads = len(fds), len(tasks)
	for _, task := range tasks {
		b, _ := os.ReadFile(filepath.Join(p.dir("task"), task.Name(), "children"))
		r.children += len(strings.Fields(string(b)))
	}
	return r
}
