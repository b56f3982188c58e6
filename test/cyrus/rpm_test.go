package cyrus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"relinkd/api"
)

// rpmUpgrade: a package upgraded by a real rpm, with its own database and prefix.
func rpmUpgrade(t *testing.T, l *lab) {
	dir := scratch(t)
	path := filepath.Join(dir, "root/bin/worker")
	database := filepath.Join(dir, "rpmdb")
	first, second := buildRPM(t, dir, path, 1, "/bin/true"), buildRPM(t, dir, path, 2, "/bin/false")
	rpm := func(args ...string) {
		t.Helper()
		must(t, "rpm", append([]string{"--dbpath", database}, args...)...)
	}
	// Debian's rpm knows nothing of what dpkg installed, such as libc.
	rpm("--install", "--nodeps", first)
	packaged := content(t, path)

	d := l.daemon(t, fmt.Sprintf("[target.worker]\npath = %q\ncopies = 8\nthreshold = 10\n", path))
	before := d.await("worker", api.Steady).Generation.SHA256
	for _, step := range []struct {
		name, file, like string
	}{
		{"upgrade", second, "/bin/false"},
		{"downgrade", first, "/bin/true"},
	} {
		rpm("--upgrade", "--nodeps", "--oldpackage", step.file)
		status := d.awaitThat("worker", step.name+"d by rpm", func(s api.TargetStatus) bool {
			return s.State == api.Steady && s.Generation.SHA256 != before
		})
		before = status.Generation.SHA256
		if link, err := os.Readlink(path); err != nil || link != ".relinkd/worker" {
			t.Errorf("%s: path leads to %q, %v", step.name, link, err)
		}
		made := copies(t, path)
		if len(made) != 8 {
			t.Errorf("%s: %d copies", step.name, len(made))
		}
		for _, name := range append(made, path) {
			if content(t, name) != content(t, step.like) {
				t.Errorf("%s: %s is not the file of the package", step.name, name)
			}
		}
	}
	d.verb(0, "restore", "worker")
	if content(t, path) != packaged {
		t.Errorf("restore did not put the packaged file back")
	}
	rpm("--verify", "--nodeps", "worker")
	if left := leavings(t, path); len(left) > 0 {
		t.Errorf("restore left %q", left)
	}
}

// buildRPM makes release n of a package that holds executable at path.
func buildRPM(t *testing.T, dir, path string, n int, executable string) string {
	t.Helper()
	spec := filepath.Join(dir, "worker.spec")
	text := fmt.Sprintf(`Name: worker
Version: %d
Release: 1
Summary: an executable
License: none
%%global __os_install_post %%{nil}
%%global debug_package %%{nil}
%%description
An executable.
%%install
install -D -m755 %s %%{buildroot}%s
%%files
%%attr(755,root,root) %s
`, n, executable, path, path)
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "rpmbuild", "-bb", "--define", "_topdir "+filepath.Join(dir, "build"), "--dbpath", filepath.Join(dir, "builddb"), spec)
	built, err := filepath.Glob(filepath.Join(dir, "build/RPMS/*", fmt.Sprintf("worker-%d-1.*.rpm", n)))
	if err != nil || len(built) != 1 {
		t.Fatalf("rpmbuild made %q, %v", built, err)
	}
	return built[0]
}
