package pool

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

func someManifest() *Manifest {
	return &Manifest{
		Version:  manifestVersion,
		Path:     "/usr/lib/cyrus/bin/imapd",
		SHA256:   strings.Repeat("ab", 32),
		Size:     360224,
		Since:    time.Date(2026, 4, 1, 12, 0, 0, 123456789, time.UTC),
		Pristine: fsys.Info{ID: fsys.ID{Dev: 1, Ino: 1 << 63}, Mode: unix.S_IFREG | 0o755, Nlink: 1, Size: 360224, Mtime: -1, Ctime: 1},
		Link:     fsys.ID{Dev: 1, Ino: 3},
		Copies:   map[int]fsys.Info{1: {ID: fsys.ID{Dev: 1, Ino: 4}, UID: 5, GID: 6}, 999: {}},
		Staged:   map[int]fsys.Info{2: {Size: 7}},
	}
}

func TestManifest(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		dir := x.Pool.dir
		m, err := LoadManifest(dir, "imapd")
		if diff := cmp.Diff(&Manifest{}, m); diff != "" || err != nil {
			t.Errorf("none: %v, %v", diff, err)
		}
		for _, want := range []*Manifest{{Version: manifestVersion}, someManifest()} {
			must(t, want.Save(dir, "imapd"))
			got, err := LoadManifest(dir, "imapd")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("loaded (-want +got):\n%s", diff)
			}
		}
	})
}

func TestManifestThatCannotBeUsed(t *testing.T) {
	x := onScratch(t)
	for what, content := range map[string]string{
		"imapd.json":     "{",
		"version 0":      "{}",
		"version 2":      `{"version": 2, "sha256": "abc"}`,
		"cannot":         `{"version": 1, "copies": {"x": {}}}`,
		"cannot be used": "",
	} {
		x.write("imapd.json", content)
		m, err := LoadManifest(x.Pool.dir, "imapd")
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q: error %v, want %q in it", content, err, what)
		}
		if diff := cmp.Diff(&Manifest{}, m); diff != "" {
			t.Errorf("%q: %s", content, diff)
		}
	}
	must(t, os.Remove(x.path("imapd.json")))
	must(t, os.Mkdir(x.path("imapd.json"), 0o755))
	if m, err := LoadManifest(x.Pool.dir, "imapd"); err == nil || m == nil {
		t.Errorf("a directory: %v, %v", m, err)
	}
}

// TestSaveFailsAtEachCall sees that the former manifest stands when a new one cannot be saved, and
// that nothing else is left.
func TestSaveFailsAtEachCall(t *testing.T) {
	x := onScratch(t)
	must(t, someManifest().Save(x.Pool.dir, "imapd"))
	for _, label := range []fsys.Op{"manifest: create", "manifest: remove left-over", "manifest: write",
		"manifest: replace"} {
		x.hook.reset()
		if label == "manifest: remove left-over" {
			x.write("imapd.json.new", "a left-over")
		}
		x.hook.once(label, fails)
		m := someManifest()
		m.SHA256 = "new"
		if err := m.Save(x.Pool.dir, "imapd"); !errors.Is(err, unix.EIO) {
			t.Errorf("%s: error %v, want EIO", label, err)
		}
		got, err := LoadManifest(x.Pool.dir, "imapd")
		want := someManifest().SHA256
		if err != nil || got.SHA256 != want {
			t.Errorf("%s: loaded %q, %v; want %q", label, got.SHA256, err, want)
		}
		_, err = os.Lstat(x.path("imapd.json.new"))
		if left := err == nil; left != (label == "manifest: remove left-over") {
			t.Errorf("%s: left-over %v", label, left)
		}
	}
	must(t, someManifest().Save(x.Pool.dir, "imapd")) // and over a left-over
}

// A power cut may cost the manifest that was not synced, not the one that was.
func TestSyncedManifest(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		dir := x.Pool.dir
		if err := SyncManifest(dir, "imapd"); !fsys.NotExist(err) || !strings.Contains(err.Error(), "manifest of imapd") {
			t.Errorf("without a manifest: %v", err)
		}
		synced := someManifest()
		must(t, synced.Save(dir, "imapd"))
		must(t, SyncManifest(dir, "imapd"))
		later := &Manifest{Version: manifestVersion, Path: "/x"}
		must(t, later.Save(dir, "imapd"))
		loads := func(when string, want *Manifest, usable bool) {
			t.Helper()
			got, err := LoadManifest(dir, "imapd")
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != usable {
				t.Errorf("%s: %v\n(-want +got):\n%s", when, err, diff)
			}
		}
		loads("saved later", later, true)
		x.write("imapd.json", "")
		loads("empty, as after a power cut", synced, false)
		must(t, os.Remove(dir.Join("imapd.json")))
		loads("removed", synced, true)
		must(t, later.Save(dir, "imapd"))
		must(t, ForgetManifest(dir, "imapd"))
		must(t, ForgetManifest(dir, "imapd"))
		loads("forgotten", &Manifest{}, true)
	})
}

func TestSyncManifestFailsAtEachCall(t *testing.T) {
	x := onScratch(t)
	dir := x.Pool.dir
	must(t, someManifest().Save(dir, "imapd"))
	for _, label := range []fsys.Op{"manifest: create", "manifest: write", "manifest: sync", "manifest: replace", "manifest: sync names"} {
		x.hook.reset()
		x.hook.once(label, fails)
		if err := SyncManifest(dir, "imapd"); !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v, want EIO", label, err)
		}
		if _, err := os.Lstat(dir.Join("imapd.json.synced.new")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a temporary file is left: %v", label, err)
		}
	}
}

// After a restart of the machine the same file system may have another number.
func TestRenumber(t *testing.T) {
	m := someManifest()
	m.Device, m.Stale = 1, []fsys.ID{{Dev: 1, Ino: 9}, {Dev: 2, Ino: 9}}
	m.Staged[2] = fsys.Info{ID: fsys.ID{Dev: 1, Ino: 8}}
	want := someManifest()
	want.Device, want.Stale = 7, []fsys.ID{{Dev: 7, Ino: 9}, {Dev: 2, Ino: 9}}
	want.Pristine.Dev, want.Link.Dev = 7, 7
	want.Copies[1] = fsys.Info{ID: fsys.ID{Dev: 7, Ino: 4}, UID: 5, GID: 6}
	want.Staged[2] = fsys.Info{ID: fsys.ID{Dev: 7, Ino: 8}}
	m.Renumber(7)
	m.Renumber(0)
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	unknown := someManifest()
	unknown.Renumber(7)
	if diff := cmp.Diff(someManifest(), unknown); diff != "" {
		t.Errorf("of an unknown number (-want +got):\n%s", diff)
	}
}
