package standin

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// start runs the program with its standard input held open by the test. It is killed, if it still
// runs, and reaped when the test ends.
func start(t *testing.T, path string) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, in
}

func TestRunsUntilItsInputEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standin")
	if err := Write(path, "1"); err != nil {
		t.Fatal(err)
	}
	cmd, in := start(t, path)
	// More than the pipe holds, so that the write returns only when the program has read, over and
	// over: it must not take the first read for the last.
	if _, err := in.Write(make([]byte, 1<<20)); err != nil {
		t.Fatalf("it stopped reading: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("at the end of its input: %v, want exit code 0", err)
	}
}

func TestEndsWhenReadingFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "standin")
	if err := Write(path, "1"); err != nil {
		t.Fatal(err)
	}
	directory, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	cmd := exec.Command(path)
	cmd.Stdin = directory // read answers EISDIR
	if err := cmd.Run(); err != nil {
		t.Errorf("with an input that cannot be read: %v, want exit code 0", err)
	}
}

func TestImages(t *testing.T) {
	for _, test := range []struct {
		name    string
		machine elf.Machine
		code    string
		version string
		size    int
		want    int
	}{
		{"amd64", elf.EM_X86_64, amd64Code, "1", 0, codeOffset + 35 + 1},
		{"amd64 padded", elf.EM_X86_64, amd64Code, "2.5", 2 << 20, 2 << 20},
		{"arm64", elf.EM_AARCH64, arm64Code, "1", 0, codeOffset + 44 + 1},
		{"arm64 padded", elf.EM_AARCH64, arm64Code, "", 5000, 5000},
		{"size too small", elf.EM_AARCH64, arm64Code, strings.Repeat("v", 500), 20, codeOffset + 44 + 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := program(test.machine, test.code, test.version, test.size)
			if len(data) != test.want {
				t.Errorf("%d bytes, want %d", len(data), test.want)
			}
			if !bytes.HasSuffix(data, []byte(test.version)) {
				t.Errorf("the version is not at the end")
			}
			f, err := elf.NewFile(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if f.Type != elf.ET_EXEC || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
				t.Errorf("header %+v", f.FileHeader)
			}
			if f.Machine != test.machine {
				t.Errorf("machine %v, want %v", f.Machine, test.machine)
			}
			if len(f.Sections) != 0 {
				t.Errorf("%d sections, want none", len(f.Sections))
			}
			if len(f.Progs) != 2 {
				t.Fatalf("%d program headers, want 2", len(f.Progs))
			}
			load := f.Progs[0]
			if load.Type != elf.PT_LOAD || load.Flags != elf.PF_R|elf.PF_X {
				t.Errorf("segment %+v, want one to read and execute", load.ProgHeader)
			}
			if load.Off+load.Filesz != uint64(len(data)) || load.Memsz != load.Filesz {
				t.Errorf("segment %+v does not end where the file of %d bytes does", load.ProgHeader, len(data))
			}
			if load.Vaddr%load.Align != load.Off%load.Align {
				t.Errorf("segment %+v cannot be mapped", load.ProgHeader)
			}
			if stack := f.Progs[1]; stack.Type != elf.PT_GNU_STACK || stack.Flags&elf.PF_X != 0 {
				t.Errorf("stack %+v, want one that is not executable", stack.ProgHeader)
			}
			code := data[f.Entry-load.Vaddr:]
			if !bytes.HasPrefix(code, []byte(test.code)) {
				t.Errorf("the entry point is not the code's beginning")
			}
		})
	}
}

func TestVersionsDifferAndAreSmall(t *testing.T) {
	one, two := ELF("1"), ELF("2")
	if one == nil {
		t.Skip("there is no stand-in for this machine")
	}
	if bytes.Equal(one, two) {
		t.Error("two versions are one file")
	}
	if len(one) >= 1024 {
		t.Errorf("%d bytes, want fewer than 1024", len(one))
	}
	if padded := ELFSize("1", 4096); len(padded) != 4096 {
		t.Errorf("%d bytes, want 4096", len(padded))
	}
}

// TestWriteWhileForking replaces a program again and again while others are forked and executed
// from the same process: no exec may find it open for writing.
func TestWriteWhileForking(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "standin")
	if err := Write(path, "0"); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exec.Command(path).Run(); err != nil { // its input is /dev/null
					t.Errorf("it does not execute: %v", err)
					return
				}
			}
		})
	}
	for i := range 400 {
		if err := Write(path, strings.Repeat("x", i)); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()

	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o755 {
		t.Errorf("mode %v, want -rwxr-xr-x", info.Mode())
	}
	only(t, dir, "standin")
}

func TestWriteThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "standin")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil { // rename onto it fails
		t.Fatal(err)
	}
	err := Write(path, "1")
	if err == nil || !strings.Contains(err.Error(), "cannot write the stand-in "+path) {
		t.Errorf("writing over a directory: %v", err)
	}
	only(t, dir, "standin")

	if err := Write(filepath.Join(dir, "missing", "standin"), "1"); err == nil {
		t.Error("writing into a missing directory succeeds")
	}
	only(t, dir, "standin")
}

// only fails unless the directory holds that one name.
func only(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("%s holds %v, want only %s", dir, entries, name)
	}
}
