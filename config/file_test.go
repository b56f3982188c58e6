package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// TestUntrustedDirectory has the directories in which somebody else could put another file in place of
// the configuration. The links are configuration management's.
func TestUntrustedDirectory(t *testing.T) {
	const others = "can be written by others than its owner (mode "
	for _, tt := range []struct {
		name      string
		needsRoot bool
		do        func(t *testing.T, dir string) // which holds the file, and is itself in one of ours
		want      string                         // "" when it is fine
	}{
		{"fine", false, func(*testing.T, string) {}, ""},
		{"writable by the group", false, func(t *testing.T, dir string) { check(t, os.Chmod(dir, 0o775)) }, others + "0775), allowed: directories that only root or the user running relinkd may write to: chmod go-w "},
		{"writable by others", false, func(t *testing.T, dir string) { check(t, os.Chmod(dir, 0o757)) }, others + "0757)"},
		{"writable above", false, func(t *testing.T, dir string) { check(t, os.Chmod(filepath.Dir(dir), 0o777)) }, others + "0777)"},
		{"sticky, as /tmp is", false, func(t *testing.T, dir string) { check(t, os.Chmod(dir, 0o777|os.ModeSticky)) }, ""},
		{"somebody else's", true, func(t *testing.T, dir string) { check(t, os.Chown(dir, 12345, 0)) },
			"belongs to uid 12345, who could replace what is in it, allowed: directories that only root or the user running relinkd may write to: chown root "},
		{"somebody else's link in a sticky one", true, func(t *testing.T, dir string) {
			check(t, os.Rename(dir, dir+".real"))
			check(t, os.Symlink(dir+".real", dir))
			check(t, os.Lchown(dir, 12345, 0))
			check(t, os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky))
		}, "in a directory that others can write to (mode 1777), belongs to uid 12345, allowed: "},
		{"a link to somebody else's", true, func(t *testing.T, dir string) {
			check(t, os.Rename(dir, dir+".real"))
			check(t, os.Symlink(dir+".real", dir))
			check(t, os.Chown(dir+".real", 12345, 0))
		}, ".real belongs to uid 12345"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.needsRoot && os.Geteuid() != 0 {
				t.Skip("left out, it needs root: directories of another user")
			}
			above := filepath.Dir(write(t, ""))
			file := filepath.Join(above, "etc", "relinkd.toml")
			check(t, os.Mkdir(filepath.Dir(file), 0o755))
			check(t, os.WriteFile(file, []byte(good), 0o600))
			tt.do(t, filepath.Dir(file))
			got := strings.Join(problems(t, Options{File: file}), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.want == "" {
				return
			}
			t.Chdir(filepath.Dir(file)) // as a name without a directory
			if got := strings.Join(problems(t, Options{File: "relinkd.toml"}), "\n"); !strings.Contains(got, tt.want) {
				t.Errorf("without a directory: got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPlacesThroughLinks: no symbolic link hides that two places are one.
func TestPlacesThroughLinks(t *testing.T) {
	root := filepath.Dir(write(t, ""))
	for _, dir := range []string{"bin/.relinkd", "state"} {
		check(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for name, text := range map[string]string{"tobin": "bin", "toproc": "/proc", "toprivate": "bin/.relinkd", "tostate": "state"} {
		check(t, os.Symlink(text, filepath.Join(root, name)))
	}
	for _, tt := range []struct{ path, state, socket, want string }{
		{"bin/imapd", "state", "run/sock", ""},
		{"tobin/imapd", "tostate", "run/sock", ""},
		{"bin/imapd", "tobin", "run/sock", "inside ROOT/bin of target"},
		{"tobin/imapd", "bin/deep/er", "run/sock", "inside ROOT/tobin of target"},
		{"bin/imapd", "state", "tobin/imapd.new", "inside ROOT/bin of target"},
		{"bin/imapd", "state", "tostate/imapd.json", "inside the state directory"},
		{"toprivate/imapd", "state", "run/sock", "relinkd's own directory"},
		{"toproc/1/root/bin/imapd", "state", "run/sock", "which is in /proc"},
		{"bin/imapd", "toproc/self", "run/sock", "which is in /proc"},
		{"bin/imapd", "state", "toproc/sock", "which is in /proc"},
	} {
		in := func(path string) string { return filepath.Join(root, path) }
		file := write(t, fmt.Sprintf("[target.imapd]\npath = %q\n[state]\ndir = %q\n[control]\nsocket = %q\n", in(tt.path), in(tt.state), in(tt.socket)))
		got := strings.Join(problems(t, Options{File: file, Root: root}), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("path %s, state.dir %s, socket %s: got %q, want %q", tt.path, tt.state, tt.socket, got, tt.want)
		}
	}
}

// TestLinkedFile takes a file through a symbolic link, as configuration management leaves it.
func TestLinkedFile(t *testing.T) {
	file := write(t, good)
	link := filepath.Join(filepath.Dir(file), "link.toml")
	check(t, os.Symlink(file, link))
	load(t, Options{File: link})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
