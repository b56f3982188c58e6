// Command licences writes what packaging/copyright says: the licence of relinkd and those of everything that
// is linked into the program, from the modules themselves. It fails for a module whose licence it does not
// know, and must never guess.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	apache := flag.String("apache", "", "write the text of the Apache License to `FILE`, for systems that bring none")
	flag.Parse()
	if err := run(os.Stdout, *apache); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, apacheFile string) error {
	ours, err := read(".", "relinkd")
	if err != nil {
		return err
	}
	parts := []part{}
	for _, arch := range []string{"amd64", "arm64"} {
		modules, err := linked(arch)
		if err != nil {
			return err
		}
		for _, m := range modules {
			if slices.ContainsFunc(parts, func(p part) bool { return p.name == m.Path }) {
				continue
			}
			p, err := read(m.Dir, m.Path)
			if err != nil {
				return err
			}
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.name, b.name) })
	if apacheFile != "" {
		if err := writeApache(apacheFile, parts); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, document(ours, parts))
	return err
}

// module is what go list tells of a module.
type module struct {
	Path string
	Dir  string // "" if it is not there
	Main bool
}

// goLibrary is the name here of Go's own library, which is part of every program.
const goLibrary = "go"

// linked is the modules that the program of that architecture consists of, without relinkd itself.
func linked(arch string) ([]module, error) {
	list := exec.Command("go", "list", "-buildvcs=false", "-deps", "-json=Module", "./cmd/relinkd")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list what is linked on %s: %v", arch, err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot find Go's own library: %v", err)
	}
	all := map[string]module{goLibrary: {Path: goLibrary, Dir: strings.TrimSpace(string(root))}}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return slices.Collect(maps.Values(all)), nil
		} else if err != nil {
			return nil, fmt.Errorf("cannot read what go list says: %v", err)
		}
		if p.Module != nil && !p.Module.Main {
			all[p.Module.Path] = *p.Module
		}
	}
}

// read finds out the licence of the part called name, which is in dir.
func read(dir, name string) (part, error) {
	texts, err := filepath.Glob(filepath.Join(dir, "LICENSE*"))
	if err != nil || len(texts) != 1 || dir == "" {
		return part{}, fmt.Errorf("%s: there must be one licence in %q, not %d", name, dir, len(texts))
	}
	text, err := os.ReadFile(texts[0])
	if err != nil {
		return part{}, fmt.Errorf("%s: %v", name, err)
	}
	notice, err := os.ReadFile(filepath.Join(dir, "NOTICE"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return part{}, fmt.Errorf("%s: %v", name, err)
	}
	p := part{name: name, notice: strings.TrimSpace(string(notice)), text: string(text)}
	if p.kind, p.body = identify(string(text)); p.kind == "" {
		return part{}, fmt.Errorf("%s: nobody has taught this program the licence in %s", name, texts[0])
	}
	p.holders = holders(string(text))
	if p.kind == apache {
		p.holders = holders(p.notice) // the licence itself names nobody
	}
	if len(p.holders) == 0 {
		if p.holders, err = headers(dir); err != nil {
			return part{}, fmt.Errorf("%s: %v", name, err)
		}
	}
	if len(p.holders) == 0 {
		return part{}, fmt.Errorf("%s: there is no copyright notice in %s", name, dir)
	}
	return p, nil
}

// headers is the copyright notices above the Go files right in dir.
func headers(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		head, _, _ := strings.Cut(string(text), "\npackage ")
		for _, h := range holders(strings.ReplaceAll(head, "// ", "")) {
			if !slices.Contains(found, h) {
				found = append(found, h)
			}
		}
	}
	return found, nil
}

// writeApache writes the Apache License as the first part has it that is under it.
func writeApache(name string, parts []part) error {
	at := slices.IndexFunc(parts, func(p part) bool { return p.kind == apache })
	if at < 0 {
		return fmt.Errorf("nothing is under the Apache License: %s is not needed", name)
	}
	return os.WriteFile(name, []byte(parts[at].text), 0o644)
}
