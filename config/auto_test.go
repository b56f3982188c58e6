package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAuto(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		dirs  []string
		links map[string]string // name to what it says, below the root
		want  string            // below the root
		wrong []string
	}{
		{name: "nothing installed", want: "/usr/lib/cyrus/bin/imapd"},
		{name: "Debian", files: []string{"/usr/lib/cyrus/bin/imapd"}, want: "/usr/lib/cyrus/bin/imapd"},
		{name: "Fedora", files: []string{"/usr/libexec/cyrus-imapd/imapd"}, want: "/usr/libexec/cyrus-imapd/imapd"},
		{name: "RHEL of old", files: []string{"/usr/lib/cyrus-imapd/imapd"}, want: "/usr/lib/cyrus-imapd/imapd"},
		{name: "from source", files: []string{"/usr/cyrus/libexec/imapd"}, want: "/usr/cyrus/libexec/imapd"},
		{name: "from source of old", files: []string{"/usr/cyrus/bin/imapd"}, want: "/usr/cyrus/bin/imapd"},
		{name: "only other programs", files: []string{"/usr/cyrus/libexec/pop3d", "/usr/cyrus/bin/pop3d"}, want: "/usr/cyrus/libexec/imapd"},
		{name: "the executable rather than an earlier directory", dirs: []string{"/usr/lib/cyrus/bin"},
			files: []string{"/usr/libexec/cyrus-imapd/imapd"}, want: "/usr/libexec/cyrus-imapd/imapd"},
		{name: "path is gone, the private link is not", dirs: []string{"/usr/lib/cyrus/bin", "/usr/cyrus/bin/.relinkd"},
			links: map[string]string{"/usr/cyrus/bin/.relinkd/imapd": "../imapd_017"}, want: "/usr/cyrus/bin/imapd"},
		{name: "a link that leads nowhere", dirs: []string{"/usr/cyrus/bin"},
			links: map[string]string{"/usr/cyrus/bin/imapd": "nowhere"}, want: "/usr/cyrus/bin/imapd"},
		{name: "path and private link are one place", files: []string{"/usr/cyrus/bin/imapd", "/usr/cyrus/bin/.relinkd/imapd"},
			want: "/usr/cyrus/bin/imapd"},
		{name: "one directory under two names", files: []string{"/usr/cyrus/libexec/imapd"},
			links: map[string]string{"/usr/cyrus/bin": "libexec"}, want: "/usr/cyrus/libexec/imapd"},
		{name: "a file in place of a directory", files: []string{"/usr/lib/cyrus"}, want: "/usr/lib/cyrus/bin/imapd"},
		{name: "two places", files: []string{"/usr/lib/cyrus/bin/imapd", "/usr/cyrus/bin/imapd"}, wrong: []string{
			`relinkd.toml:1: target.imapd.path: found "auto", but imapd is in ROOT/usr/lib/cyrus/bin and in ROOT/usr/cyrus/bin, ` +
				`allowed: the path of one of them: set path = "ROOT/usr/lib/cyrus/bin/imapd"`}},
		{name: "a directory that cannot be looked into", dirs: []string{"/usr/cyrus"},
			links: map[string]string{"/usr/cyrus/bin": "bin"}, wrong: []string{
				`relinkd.toml:1: target.imapd.path: found "auto", but relinkd cannot look into ROOT/usr/cyrus/bin ` +
					`(too many levels of symbolic links), allowed: an absolute path`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for _, file := range tt.files {
				place(t, root+file)
			}
			for _, dir := range tt.dirs {
				check(t, os.MkdirAll(root+dir, 0o755))
			}
			for name, says := range tt.links {
				check(t, os.Symlink(says, root+name))
			}
			o := Options{File: write(t, "[target.imapd]"), Root: root}
			if diff := cmp.Diff(tt.wrong, problems(t, o)); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if tt.wrong == nil {
				if got := load(t, o).Targets[0].Path; got != root+tt.want {
					t.Errorf("path %s, want ROOT%s", got, tt.want)
				}
			}
		})
	}
}

// TestOneFile refuses targets of one path in spite of their names. Whether two paths are one file is for the
// targets to say: it changes with what stands there, and a configuration that was good yesterday must not keep
// relinkd from restoring today.
func TestOneFile(t *testing.T) {
	root := t.TempDir()
	place(t, root+"/bin/imapd")
	check(t, os.Link(root+"/bin/imapd", root+"/bin/hard"))
	check(t, os.Symlink("imapd", root+"/bin/soft"))
	check(t, os.Symlink("bin", root+"/sbin"))
	for path, want := range map[string]string{
		"/bin/hard":      "",
		"/bin/soft":      "",
		"/sbin/imapd":    `"ROOT/sbin/imapd", which is the path of target imapd, allowed: a path of its own`,
		"/sbin/imapd_01": "",
		"/sbin/imapd_001": `"ROOT/sbin/imapd_001", a name that relinkd uses for target imapd, ` +
			`allowed: another name than imapd and imapd_001, with or without a suffix after a dot`,
	} {
		text := "[target.imapd]\npath = \"" + root + "/bin/imapd\"\n[target.other]\npath = \"" + root + path + "\"\n"
		var wanted []string
		if want != "" {
			wanted = []string{"relinkd.toml:4: target.other.path: found " + want}
		}
		if diff := cmp.Diff(wanted, problems(t, Options{File: write(t, text), Root: root})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// TestAutoProblemOnce reports what path = "auto" finds at the target's own line, and not at all when
// the path that was given instead is refused.
func TestAutoProblemOnce(t *testing.T) {
	root := t.TempDir()
	place(t, root+"/usr/cyrus/libexec/imapd")
	place(t, root+"/usr/cyrus/bin/imapd")
	for text, want := range map[string]string{
		"[log]\n[target.imapd]\n[target.imapd.settle]": `relinkd.toml:2: target.imapd.path: found "auto", but imapd is in ROOT/usr/cyrus/libexec ` +
			`and in ROOT/usr/cyrus/bin, allowed: the path of one of them: set path = "ROOT/usr/cyrus/libexec/imapd"`,
		"[target.imapd]\npath = 3": `relinkd.toml:2: target.imapd.path: found 3, allowed: "auto" or ` + plainPath,
	} {
		if diff := cmp.Diff([]string{want}, problems(t, Options{File: write(t, text), Root: root})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestAutoOfTwoTargets finds each its own.
func TestAutoOfTwoTargets(t *testing.T) {
	root := t.TempDir()
	place(t, root+"/usr/libexec/cyrus-imapd/pop3d")
	c := load(t, Options{File: write(t, "[target.imapd]\n[target.pop3d]"), Root: root})
	for _, target := range c.Targets {
		if want := filepath.Join(root, "/usr/libexec/cyrus-imapd", target.Name); target.Path != want {
			t.Errorf("target %s at %s, want %s", target.Name, target.Path, want)
		}
	}
}
