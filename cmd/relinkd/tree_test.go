package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

type treesKey struct{}

// remember DIR: notes everything below DIR.
func cmdRemember(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "remember DIR")
	ts.Value(treesKey{}).(map[string]string)[args[0]] = tree(ts, args[0])
}

// unchanged DIR: nothing below DIR has been touched since remember.
func cmdUnchanged(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "unchanged DIR")
	before, ok := ts.Value(treesKey{}).(map[string]string)[args[0]]
	if !ok {
		ts.Fatalf("%s was not remembered", args[0])
	}
	after := tree(ts, args[0])
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); diff != "" {
		ts.Fatalf("%s has changed (-before +after):\n%s", args[0], diff)
	}
}

// tree tells everything about the files below dir but their access times. The change time tells even
// of what was done and undone.
func tree(ts *testscript.TestScript, dir string) string {
	root := ts.MkAbs(dir)
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		content := ""
		switch {
		case e.Type() == fs.ModeSymlink:
			if content, err = os.Readlink(path); err != nil {
				return err
			}
		case e.Type().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = fmt.Sprintf("%x", sha256.Sum256(data))
		}
		fmt.Fprintf(&b, "%s ino=%d mode=%o owner=%d:%d size=%d mtime=%d ctime=%d %s\n", strings.TrimPrefix(path, root),
			st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim.Nano(), st.Ctim.Nano(), content)
		return nil
	})
	ts.Check(err)
	return b.String()
}
