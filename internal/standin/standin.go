// Package standin makes the smallest service there is: a static program that reads its standard
// input until it ends and then exits with 0. The demonstration and the tests run it by the hundred
// where a mail site runs imapd. It needs no compiler, and must never need one.
package standin

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// ELF is a stand-in for the machine that this program runs on, well below 1 KiB. The version text
// is the file's end, so that each version is a different file that behaves alike. It is nil on a
// machine other than amd64 and arm64.
func ELF(version string) []byte { return ELFSize(version, 0) }

// ELFSize is ELF padded to size bytes, for copies that are to weigh something. A size below what
// headers, code and version take pads nothing.
func ELFSize(version string, size int) []byte {
	switch runtime.GOARCH {
	case "amd64":
		return program(elf.EM_X86_64, amd64Code, version, size)
	case "arm64":
		return program(elf.EM_AARCH64, arm64Code, version, size)
	}
	return nil
}

// Write puts a stand-in of that version at path the way package managers do it: written under
// another name beside it, mode 0755 whatever the umask is, then renamed over path.
//
// No process of this one's making is forked while the file is open for writing: a child that
// inherits the descriptor, if only until it executes, makes executing path fail with ETXTBSY.
func Write(path, version string) error {
	content := ELF(version)
	if content == nil {
		return fmt.Errorf("cannot make the stand-in %s: there is machine code for amd64 and arm64, not for %s", path, runtime.GOARCH)
	}
	if err := replace(path, content, 0o755); err != nil {
		return fmt.Errorf("cannot write the stand-in %s: %w", path, err)
	}
	return nil
}

// replace renames a new file over path. When it fails it leaves path as it was, and nothing else.
func replace(path string, data []byte, perm fs.FileMode) error {
	temporary, err := create(path, data, perm)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil && temporary != "" {
		os.Remove(temporary)
	}
	return err
}

// create writes a file beside path, under a name that watchers of path pass over as dpkg's.
// The name is "" when no file was made.
func create(path string, data []byte, perm fs.FileMode) (name string, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.dpkg-new")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return f.Name(), err
}
