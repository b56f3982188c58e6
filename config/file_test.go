package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const good = "[target.imapd]\npath = \"/opt/imapd\"\n"

// TestUntrustedFile has the files whose content is not even looked at.
func TestUntrustedFile(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, file string)
		want string
	}{
		{"missing", func(t *testing.T, file string) { check(t, os.Remove(file)) },
			`relinkd.toml: found no such file, allowed: a configuration file: put relinkd's example relinkd.toml there, or name another file with --config`},
		{"writable by the group", func(t *testing.T, file string) { check(t, os.Chmod(file, 0o660)) },
			`relinkd.toml: found a file that others than its owner may write (mode 0660), allowed: a file that only its owner may write: chmod go-w relinkd.toml`},
		{"writable by others", func(t *testing.T, file string) { check(t, os.Chmod(file, 0o602)) },
			`relinkd.toml: found a file that others than its owner may write (mode 0602), allowed: a file that only its owner may write: chmod go-w relinkd.toml`},
		{"of somebody else", func(t *testing.T, file string) {
			if os.Geteuid() != 0 {
				t.Skip("left out without root: giving a file to another user")
			}
			check(t, os.Chown(file, 12345, 0))
		}, `relinkd.toml: found a file of user 12345, allowed: a file of root or of the user running relinkd: chown root relinkd.toml`},
		{"unreadable", func(t *testing.T, file string) {
			if os.Geteuid() == 0 {
				t.Skip("left out as root: root reads every file")
			}
			check(t, os.Chmod(file, 0))
		}, fmt.Sprintf(`relinkd.toml: found a file that relinkd may not read, allowed: a file that user %d may read: run relinkd as root`, os.Geteuid())},
		{"a directory", func(t *testing.T, file string) { check(t, os.Remove(file)); check(t, os.Mkdir(file, 0o755)) },
			`relinkd.toml: found something that is no regular file, allowed: a regular file`},
		{"a fifo, which must not be waited for", func(t *testing.T, file string) { check(t, os.Remove(file)); check(t, unix.Mkfifo(file, 0o600)) },
			`relinkd.toml: found something that is no regular file, allowed: a regular file`},
		{"a link to itself", func(t *testing.T, file string) { check(t, os.Remove(file)); check(t, os.Symlink(file, file)) },
			`relinkd.toml: found that it cannot be opened (too many levels of symbolic links), allowed: a readable file`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, good)
			tt.do(t, file)
			if diff := cmp.Diff([]string{tt.want}, problems(t, Options{File: file})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestLinkedFile takes a file through a symbolic link, as configuration management leaves it.
func TestLinkedFile(t *testing.T) {
	link := filepath.Join(t.TempDir(), "relinkd.toml")
	check(t, os.Symlink(write(t, good), link))
	load(t, Options{File: link})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
