package pool

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/fstest"
)

func TestCloneAs(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		adorn(t, x.path(fstest.Packaged))
		src := x.source(fstest.Packaged)
		made, err := CloneAs(t.Context(), src, x.Pool.dir, "imapd_001")
		must(t, err)
		if now, err := x.Pool.dir.Lstat("imapd_001"); err != nil || now != made {
			t.Errorf("it is %+v, and was made as %+v (%v)", now, made, err)
		}
		x.wantEqual(fstest.Packaged, 1)
		before := lstat(t, x.copyPath(1))
		if _, err := CloneAs(t.Context(), src, x.Pool.dir, "imapd_001"); !fsys.Exist(err) {
			t.Errorf("error %v, want EEXIST", err)
		}
		if now := lstat(t, x.copyPath(1)); now != before {
			t.Errorf("the taken name's file was changed: %+v, now %+v", before, now)
		}
		x.wantOwned()
	})
}

func TestCloneAsFailsAtEachCall(t *testing.T) {
	x := onScratch(t)
	src := x.makeSource("imapd", "content")
	for _, label := range []fsys.Op{"clone: create", "clone: reflink", "clone: copy", "clone: chown", "clone: chmod",
		"clone: xattr", "clone: mtime", "clone: sync", "clone: check"} {
		x.hook.reset()
		if label == "clone: copy" {
			x.hook.on("clone: reflink", func(string) error { return unix.EOPNOTSUPP })
		}
		x.hook.on(label, fails)
		if _, err := CloneAs(t.Context(), src, x.Pool.dir, "clone"); !errors.Is(err, unix.EIO) {
			t.Errorf("%s: error %v, want EIO", label, err)
		}
		if _, err := os.Lstat(x.path("clone")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the clone is left: %v", label, err)
		}
	}
}
