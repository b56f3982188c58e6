package doctor

import (
	"bufio"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

// Share is what copies of an executable divide, and what all its processes go on sharing: the mappings of
// one of them or, where none runs, what the executable says of itself. The kernel keeps one tree of
// mappings, under one lock, for each file; copies divide the executable's alone.
type Share struct {
	Path       string   `json:"path"`
	PID        int      `json:"pid"`        // the process that was looked at; 0: none runs that can be read
	Processes  int      `json:"processes"`  // that run the executable or one of its copies
	Unreadable int      `json:"unreadable"` // processes of others, of which it cannot be told
	Mappings   int      `json:"mappings"`   // of the process, memory without a file included; 0 without one
	Own        int      `json:"own"`        // of those, the executable's; without a process, its segments
	Others     []Mapped `json:"others"`     // the other files, most mappings first
	Static     bool     `json:"static"`     // it needs no shared library
	Cores      int      `json:"cores"`      // 0: not known
}

// Mapped is a file other than the executable that processes map.
type Mapped struct {
	Name     string `json:"name"`
	Mappings int    `json:"mappings"` // 0: not known, as no process runs
}

// ShareOf finds out what copies of the executable at path divide. It may be managed already. An error
// means that there is no such executable, or that it cannot be read.
func ShareOf(h Host, path string) (*Share, error) {
	ours, err := family(path)
	if err != nil {
		return nil, err
	}
	s := &Share{Path: path, Cores: h.cores(), Others: []Mapped{}}
	for _, pid := range h.processes() {
		var st unix.Stat_t
		switch err := unix.Stat(h.process(pid, "exe"), &st); {
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			s.Unreadable++
		case err == nil && ours[fsys.InfoOf(&st).ID]:
			s.Processes++
			if s.PID == 0 && s.readMaps(h, pid) == nil && s.Own > 0 {
				s.PID = pid
			}
		}
	}
	if s.PID == 0 {
		return s, s.readELF()
	}
	s.Static = !slices.ContainsFunc(s.Others, func(m Mapped) bool { return strings.Contains(filepath.Base(m.Name), ".so") })
	return s, nil
}

// family is the executable at path, by its identity, and whatever relinkd has made or kept of it.
func family(path string) (map[fsys.ID]bool, error) {
	dir, err := fsys.OpenDir(filepath.Dir(path), nil)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := filepath.Base(path)
	info, err := dir.StatTarget(name)
	if err != nil {
		return nil, err
	}
	ours := map[fsys.ID]bool{info.ID: true}
	add := func(file string) {
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil {
			ours[fsys.InfoOf(&st).ID] = true
		}
	}
	private := linker.PrivateLink(path)
	for _, file := range []string{private, private + ".pristine", private + ".previous"} {
		add(file)
	}
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if pool.CopyNumber(name, n) > 0 {
			add(dir.Join(n))
		}
	}
	return ours, nil
}

// readMaps counts the mappings of a process.
func (s *Share) readMaps(h Host, pid int) error {
	exe, err := os.Readlink(h.process(pid, "exe"))
	if err != nil {
		return err
	}
	f, err := os.Open(h.process(pid, "maps"))
	if err != nil {
		return err
	}
	defer f.Close()
	files, all, err := parseMaps(f)
	if err != nil {
		return err
	}
	s.Mappings, s.Own, s.Others = all, files[exe], []Mapped{}
	for name, n := range files {
		if name != exe {
			s.Others = append(s.Others, Mapped{name, n})
		}
	}
	slices.SortFunc(s.Others, func(a, b Mapped) int {
		return cmp.Or(cmp.Compare(b.Mappings, a.Mappings), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

// parseMaps counts the lines of /proc/PID/maps: those of each file, by its path, and all. Memory that
// belongs to no file has no path, or one in brackets.
func parseMaps(r io.Reader) (files map[string]int, all int, err error) {
	files = map[string]int{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		// address permissions offset device inode path
		line, fields := lines.Text(), [5]string{}
		for i := range fields {
			line = strings.TrimLeft(line, " ")
			fields[i], line, _ = strings.Cut(line, " ")
		}
		if fields[4] == "" {
			return nil, 0, fmt.Errorf("%q is no mapping", lines.Text())
		}
		all++
		if path := strings.TrimLeft(line, " "); strings.HasPrefix(path, "/") {
			files[path]++
		}
	}
	return files, all, lines.Err()
}

// readELF takes from the executable what can be told without a process.
func (s *Share) readELF() error {
	file := linker.PrivateLink(s.Path) + ".pristine" // while path is ours; it may be a launcher then
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
		file = s.Path
	}
	opened, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // opening a fifo would wait for a writer
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("cannot read %s, and no process of it can be looked at: ask as root", s.Path)
	}
	if err != nil {
		return fmt.Errorf("cannot tell what %s maps: %v", s.Path, err)
	}
	defer opened.Close()
	f, err := elf.NewFile(opened)
	if err != nil {
		return fmt.Errorf("cannot tell what %s maps: %v", s.Path, err)
	}
	s.Mappings, s.Own, s.Static, s.Others = 0, 0, true, []Mapped{}
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_LOAD:
			s.Own++
		case elf.PT_INTERP:
			s.Static = false
		}
	}
	libraries, err := f.ImportedLibraries()
	if err != nil && !s.Static {
		return fmt.Errorf("cannot tell which libraries %s needs: %v", s.Path, err)
	}
	for _, name := range libraries {
		s.Others = append(s.Others, Mapped{Name: name})
	}
	return nil
}

// OfFiles is how many mappings of files the process has, the executable's included.
func (s *Share) OfFiles() int {
	n := s.Own
	for _, m := range s.Others {
		n += m.Mappings
	}
	return n
}

// most reports whether copies divide at least half of all mappings of files.
func (s *Share) most() bool {
	if s.PID == 0 {
		return s.Static
	}
	return 2*s.Own >= s.OfFiles()
}
