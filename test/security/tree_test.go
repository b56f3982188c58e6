package security_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// tree tells of everything at and below root, save below the directories that are left out: type,
// mode, owner, inode, size, time of change, content. Access times do not count, nor, for files, how
// many names they have.
func tree(t testing.TB, root string, without ...string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, dir := range without {
			if path == dir {
				return fs.SkipDir
			}
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		content := ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			if content, err = os.Readlink(path); err != nil {
				return err
			}
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = fmt.Sprintf("%x", sha256.Sum256(data))
		}
		all = append(all, fmt.Sprintf("%s ino=%d mode=%o owner=%d:%d size=%d mtime=%d %s", strings.TrimPrefix(path, root),
			st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim.Nano(), content))
		return nil
	}))
	return all
}

// unchanged fails the test if the tree is not what it was.
func unchanged(t testing.TB, what string, before, after []string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("%s (-before +after):\n%s", what, diff)
	}
}
