package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallRoot makes a root directory with two shells and what maintainer scripts call of the system, in
// which processes can be seen. There is no systemd in it, and no package.
func smallRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp(scratch, "root-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil { // where root alone can pass, no service could execute anything
		t.Fatal(err)
	}
	for _, dir := range []string{"dev", "etc", "proc", "run", "tmp", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/libexec/cyrus-imapd", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, merged := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+merged, filepath.Join(root, merged)); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"dash", "bash", "ls", "rm", "cat", "env", "mkdir"} {
		bring(t, root, program)
	}
	if err := os.Symlink("dash", filepath.Join(root, "usr/bin/sh")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(root, "dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(filepath.Join(root, "proc"), unix.MNT_DETACH); err != nil {
			t.Errorf("%v: left as it is: %s", err, root)
			return
		}
		os.RemoveAll(root)
	})
	return root
}

// shared finds the paths in what ldd prints.
var shared = regexp.MustCompile(`(?m)(/\S+) \(0x`)

// bring copies a program of the host into a root, with its shared libraries.
func bring(t *testing.T, root, program string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := command(time.Minute, "ldd", path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(from, to string) {
		to = filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := command(time.Minute, "cp", "-L", from, to); err != nil {
			t.Fatal(err)
		}
	}
	put(path, "usr/bin/"+program)
	for _, library := range shared.FindAllStringSubmatch(libraries, -1) {
		put(library[1], library[1])
	}
}

// inRoot runs a shell script in a root; what it printed, both outputs together, and its exit code.
func inRoot(t *testing.T, root, script string) (string, int) {
	t.Helper()
	cmd := exec.Command("chroot", root, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", "/bin/sh", "-c", script)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// stub puts a script into a root that writes down how it was called, and then does what is given.
func stub(t *testing.T, root, name, does string) {
	t.Helper()
	text := "#!/bin/sh\necho \"" + name + " $*\" >>/calls\n" + does + "\n"
	if err := os.WriteFile(filepath.Join(root, "usr/bin", name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// calls are those that stubs have written down since the last time.
func calls(t *testing.T, root string) []string {
	t.Helper()
	name := filepath.Join(root, "calls")
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return []string{}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// inodeOf is the inode of what stands at a path itself.
func inodeOf(t *testing.T, name string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return st.Ino
}
