package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
	"relinkd/linker"
	"relinkd/linker/launcher"
	"relinkd/pool"
	"relinkd/watch/install"
)

// The table: what stands at path, what stands in the private directory and what the manifest says, in every
// combination, for a restore and for a start. The versions of the program tell where it is:
//
//	F  was packaged, and is what the copies were made from
//	G  was put at path after it
//	H  came after F, and is hidden by a crash as NAME.publish

// cell is one combination.
type cell struct {
	publish  config.Publish
	path     tablePath
	pristine string // "F", "" for none, "short" for one that is cut short
	hidden   string // "H", or "" for none
	link     string // what the private link says, "" for none
	copies   bool   // there are copies of F
	manifest string // "right", "" for none, "old" for one of an upgrade before
}

func (c cell) String() string {
	return fmt.Sprintf("%s, path %s, pristine %q, hidden %q, link %q, copies %v, manifest %q", c.publish, c.path.name, c.pristine, c.hidden, c.link, c.copies, c.manifest)
}

// tablePath is what stands at path.
type tablePath struct {
	name    string
	put     func(s *site)
	program string // the complete one that it is
	foreign bool   // it is neither a program nor leads to what is relinkd's
}

func tablePaths() []tablePath {
	file := func(content func(s *site) []byte) func(s *site) {
		return func(s *site) {
			must(s.t, os.WriteFile(s.path, content(s), 0o755))
			must(s.t, os.Chmod(s.path, 0o755))
		}
	}
	link := func(text func(s *site) string) func(s *site) {
		return func(s *site) { must(s.t, os.Symlink(text(s), s.path)) }
	}
	whole := func(version string) func(*site) []byte {
		return func(*site) []byte { return standin.ELF(version) }
	}
	ours := func(s *site) []byte {
		content, err := launcher.New(s.privateLink())
		must(s.t, err)
		return content
	}
	return []tablePath{
		{"nothing", func(*site) {}, "", false},
		{"our symbolic link", link(func(*site) string { return linker.PrivateDir + "/" + name }), "", false},
		{"our launcher", file(ours), "", false},
		{"our launcher, grown", file(func(s *site) []byte { return append(ours(s), make([]byte, 5000)...) }), "", false},
		{"an absolute link to the private link", link(func(s *site) string { return s.privateLink() }), "", false},
		{"a link to the private link through another directory", link(func(s *site) string {
			other := s.dir + "-too"
			must(s.t, os.Symlink(s.dir, other))
			return linker.PrivateLink(filepath.Join(other, name))
		}), "", false},
		{"a link to a copy", link(func(*site) string { return pool.CopyName(name, 2) }), "", false},
		{"a link elsewhere", link(func(*site) string { return "/bin/true" }), "", true},
		{"a link to nothing", link(func(*site) string { return "nowhere" }), "", true},
		{"the packaged file", file(whole("F")), "F", false},
		{"a newer file", file(whole("G")), "G", false},
		{"a file cut short", file(func(*site) []byte { return standin.ELF("G")[:100] }), "", true},
		{"a script", file(func(*site) []byte { return []byte("#!/bin/sh\nexec imapd.real \"$@\"\n") }), "", true},
		{"an empty file", file(func(*site) []byte { return nil }), "", true},
		{"a directory", func(s *site) { must(s.t, os.Mkdir(s.path, 0o755)) }, "", true},
		{"a fifo", func(s *site) { must(s.t, unix.Mkfifo(s.path, 0o755)) }, "", true},
	}
}

// cells is all of them.
func cells() (all []cell) {
	for _, publish := range ways {
		for _, path := range tablePaths() {
			for _, pristine := range []string{"F", "", "short"} {
				for _, hidden := range []string{"", "H"} {
					for _, link := range []string{"../" + pool.CopyName(name, 1), "../" + name, ""} {
						for _, copies := range []bool{true, false} {
							for _, manifest := range []string{"right", "", "old"} {
								if manifest != "right" && (hidden != "" || pristine == "short" || link == "") {
									continue // what a manifest tells is of the copies and their source
								}
								if publish != config.PublishSymlink && (manifest != "right" || hidden != "") {
									continue // both are dealt with before it is asked what is to be published
								}
								all = append(all, cell{publish, path, pristine, hidden, link, copies, manifest})
							}
						}
					}
				}
			}
		}
	}
	return all
}

// newest is the newest complete program that there is; "" for none.
func (c cell) newest() string {
	switch {
	case c.path.program != "":
		return c.path.program
	case c.hidden != "":
		return c.hidden
	case c.pristine == "F", c.copies:
		return "F"
	}
	return ""
}

// build makes the combination in a new site below dir.
func (c cell) build(t testing.TB, dir string) *site {
	root, err := os.MkdirTemp(dir, "cell")
	must(t, err)
	s := newSiteIn(t, root, func(k *config.Target) {
		k.Publish, k.Copies, k.MaxCopies = c.publish, 2, 2
		k.Settle = config.Settle{Quiet: time.Millisecond, Max: time.Millisecond}
	})
	write := func(path string, content []byte) {
		must(t, os.WriteFile(path, content, 0o755))
		must(t, os.Chmod(path, 0o755))
	}
	must(t, os.Mkdir(s.private(""), 0o755))
	must(t, os.Chmod(s.private(""), 0o755))
	switch c.pristine {
	case "F":
		write(s.pristine(), standin.ELF("F"))
	case "short":
		write(s.pristine(), standin.ELF("F")[:100])
	}
	if c.hidden != "" {
		write(s.private(name+".publish"), standin.ELF(c.hidden))
	}
	if c.link != "" {
		must(t, os.Symlink(c.link, s.privateLink()))
	}
	old := time.Now().Add(-time.Hour)
	if c.copies {
		for n := range 2 {
			write(s.copy(n+1), standin.ELF("F"))
			must(t, os.Chtimes(s.copy(n+1), old, old))
		}
	}
	if c.pristine != "" {
		must(t, os.Chtimes(s.pristine(), old, old))
	}
	c.path.put(s)
	if c.path.program == "F" {
		must(t, os.Chtimes(s.path, old, old))
	}
	c.write(s)
	return s
}

// write makes the manifest.
func (c cell) write(s *site) {
	must(s.t, os.MkdirAll(s.cfg.State.Dir, 0o755))
	if c.manifest == "" {
		return
	}
	w := s.offline()
	defer w.Close()
	m := &pool.Manifest{Path: s.path, Publish: string(c.publish), SHA256: sha("F"), Link: lstat(s.t, s.path).ID, Copies: map[int]fsys.Info{}, Wanted: 2}
	m.Pristine = lstat(s.t, s.pristine())
	if c.manifest == "old" {
		m.SHA256 = sha("E")
		m.Pristine = fsys.Info{}
	}
	for n := range 2 {
		if info := lstat(s.t, s.copy(n+1)); !info.ID.IsZero() && c.manifest == "right" {
			m.Copies[n+1] = info
		}
	}
	must(s.t, m.Save(w.state, name))
}

// survives fails the test unless a version stands somewhere.
func (s *site) survives(version string) {
	if version == "" {
		return
	}
	for _, dir := range []string{s.dir, s.private("")} {
		for _, n := range s.names(dir) {
			if !lstat(s.t, filepath.Join(dir, n)).IsRegular() {
				continue
			}
			if content, err := os.ReadFile(filepath.Join(dir, n)); err == nil && bytes.Equal(content, standin.ELF(version)) {
				return
			}
		}
	}
	s.t.Errorf("%s is lost: there are %q and %q", version, s.names(s.dir), s.names(s.private("")))
}

// executed is the content that an execution of path ends at, through links and our launcher.
func executed(path string) []byte {
	for range 3 {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		next, is := launcher.Executes(content)
		if !is {
			return content
		}
		path = next
	}
	return nil
}

// ensured is a target that was brought to rest without a daemon's goroutines, as a daemon that starts does.
func (s *site) ensured(w *Watcher) *target {
	t := newTarget(w, s.cfg.Targets[0])
	ctx := context.Background()
	t.stopW = func() {}
	t.active = true
	t.install = install.New(install.Options{Path: s.path, Quiet: time.Millisecond, Max: time.Millisecond, AdminDir: s.admin, RPMDirs: []string{s.admin}, Log: t.log})
	for range 40 {
		again := t.ensure(ctx)
		if t.working > 0 {
			for t.working > 0 {
				(<-t.results)()
			}
			continue
		}
		if t.settled() && again == 0 || t.status == api.Degraded || t.status == api.Absent || t.status == api.Steady {
			break
		}
		select {
		case <-t.kick:
		case <-time.After(min(max(again, time.Millisecond), 25*time.Millisecond)): // a grace of 20 ms, and rests of 1 ms
		}
	}
	return t
}

// tableDir is where the table is played: in memory, if there is such a place.
func tableDir(t *testing.T) string {
	if unix.Access("/dev/shm", unix.W_OK) == nil {
		if dir, err := os.MkdirTemp("/dev/shm", "relinkd-table"); err == nil {
			t.Cleanup(func() { os.RemoveAll(dir) })
			must(t, os.Chmod(dir, 0o755))
			return dir
		}
	}
	return t.TempDir()
}

// TestTableOfRestore: whatever stands there, a restore that ends well has the newest program at path and
// nothing of ours left but what it names; one that fails has changed nothing, and the program is there.
func TestTableOfRestore(t *testing.T) {
	dir := tableDir(t)
	eachCell(t, dir, func(t *testing.T, c cell, s *site) {
		before := tree(t, s.dir)
		w := s.offline()
		r, err := w.Restore(t.Context(), name, true)
		must(t, w.Close())
		s.survives(c.newest())
		if err != nil {
			if _, serr := os.Lstat(filepath.Join(s.cfg.State.Dir, name+suffixReleased)); !errors.Is(serr, os.ErrNotExist) {
				t.Errorf("it failed (%v), and the target is released: %v", err, serr)
			}
			if c.newest() != "" && !strings.Contains(err.Error(), linker.PrivateDir) && !strings.Contains(err.Error(), s.copy(1)) {
				t.Errorf("%v does not say where the program is", err)
			}
			if c.newest() != "" && !c.path.foreign {
				t.Errorf("%v, although there is %s, and nothing of anybody's at path", err, c.newest())
			}
			if c.hidden == "" { // else a crash was recovered from first
				unchangedBut(t, s.dir, before, s.private(""))
			}
			return
		}
		untouched := slices.Equal(r.Done, []string{s.path + " was not managed: nothing to restore"})
		if c.newest() != "" && !untouched {
			if info := lstat(t, s.path); !info.IsRegular() || !bytes.Equal(executed(s.path), standin.ELF(c.newest())) {
				t.Errorf("restored (%q), and path is not %s", r.Done, c.newest())
			}
		}
		told := strings.Join(slices.Concat(r.Done, r.Warnings), "\n")
		for _, n := range s.names(s.dir) {
			if n == linker.PrivateDir || pool.CopyNumber(name, n) != 0 {
				if !strings.Contains(told, filepath.Join(s.dir, n)) {
					t.Errorf("%s is left, and not told of: %s", n, told)
				}
				if c.newest() == "F" && !untouched && n != linker.PrivateDir {
					t.Errorf("%s is left, although it has what is at path: %s", n, told)
				}
			}
		}
	})
	faults.Record(t, faults.Row{
		What:     "restore",
		Injected: "anything at path (links in every spelling, scripts, empty and unfinished files, directories), with anything in the private directory and in the manifest",
		Times:    len(cells()),
		Survived: "the newest program is at path and what is left is named, or nothing has changed and the error says where the program is",
	})
}

// TestTableOfStart: whatever stands there, a daemon that starts comes to rest; the program is there, and what
// is steady executes the newest.
func TestTableOfStart(t *testing.T) {
	dir := tableDir(t)
	eachCell(t, dir, func(t *testing.T, c cell, s *site) {
		w := s.offline()
		target := s.ensured(w)
		state, reason := target.status, target.reason
		target.close()
		must(t, w.Close())
		s.survives(c.newest())
		executes := s.path
		if c.publish == config.PublishNone {
			executes = s.privateLink()
		}
		switch state {
		case api.Steady:
			if !bytes.Equal(executed(executes), standin.ELF(c.newest())) {
				t.Errorf("steady, and %s does not execute %s", executes, c.newest())
			}
		case api.Degraded, api.Absent:
			if reason == "" {
				t.Errorf("%s without a reason", state)
			}
			if state == api.Absent && c.newest() != "" {
				t.Errorf("absent (%s), and there is %s", reason, c.newest())
			}
		default:
			t.Errorf("it does not come to rest: %s: %s", state, reason)
		}
	})
	faults.Record(t, faults.Row{
		What:     "a start",
		Injected: "anything at path (links in every spelling, scripts, empty and unfinished files, directories), with anything in the private directory and in the manifest",
		Times:    len(cells()),
		Survived: "it comes to rest, the newest program is there, and what is steady executes it",
	})
}

// eachCell plays every cell.
func eachCell(t *testing.T, dir string, play func(t *testing.T, c cell, s *site)) {
	all := cells()
	if len(all) < 1000 {
		t.Errorf("there are only %d combinations", len(all))
	}
	const parts = 4
	t.Run("all", func(t *testing.T) { playCells(t, dir, all, parts, play) }) // which waits for them
}

func playCells(t *testing.T, dir string, all []cell, parts int, play func(t *testing.T, c cell, s *site)) {
	for part := range parts {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for i := part; i < len(all); i += parts {
				c := all[i]
				t.Run(c.String(), func(t *testing.T) { play(t, c, c.build(t, dir)) })
			}
		})
	}
}

// unchangedBut is unchanged, but for the times of directories.
func unchangedBut(t testing.TB, dir string, before map[string]string, private string) {
	t.Helper()
	after := tree(t, dir)
	for _, d := range []string{dir, strings.TrimSuffix(private, "/")} {
		if _, there := after[d]; there {
			before[d] = after[d]
		}
	}
	unchanged(t, dir, before)
}
