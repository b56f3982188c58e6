package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// binary is the compiled tests of a package.
type binary struct {
	pkg  string // "watch/install"; "." for the top of the repository
	dir  string // of the package, from the top of the repository: where its tests run
	file string
}

// compile makes the test binaries of the packages that have tests, in dir, all before any is run: the
// compiler would take from the tests what they wait for. vet is left to `make check`.
func compile(ctx context.Context, dir string, flags, patterns []string) ([]binary, error) {
	packages, err := tested(ctx, patterns)
	if err != nil {
		return nil, err
	}
	var all []binary
	for round := 0; len(packages) > 0; round++ {
		// go test -c names a binary after the last element of its package's path.
		into := filepath.Join(dir, fmt.Sprint(round))
		if err := os.MkdirAll(into, 0o755); err != nil {
			return nil, err
		}
		names := map[string]bool{}
		var now, later []binary
		for _, b := range packages {
			name := filepath.Base(b.file)
			if names[name] {
				later = append(later, b)
				continue
			}
			names[name] = true
			b.file = filepath.Join(into, name)
			now = append(now, b)
		}
		args := append([]string{"test", "-c", "-o", into + "/", "-vet=off"}, flags...)
		for _, b := range now {
			args = append(args, "./"+b.dir)
		}
		if err := command(ctx, "go", args...); err != nil {
			return nil, err
		}
		all, packages = append(all, now...), later
	}
	return all, nil
}

// tested are the packages that match and have tests; file is the name that go test -c gives to the binary.
func tested(ctx context.Context, patterns []string) ([]binary, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json=ImportPath,Module,TestGoFiles,XTestGoFiles"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []binary
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath                string
			Module                    struct{ Path string }
			TestGoFiles, XTestGoFiles []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		dir := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
		if dir == "" {
			dir = "."
		}
		all = append(all, binary{pkg: dir, dir: dir, file: filepath.Base(p.ImportPath) + ".test"})
	}
}
