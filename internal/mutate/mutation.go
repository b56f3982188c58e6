package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

//go:embed mutations.txtar
var list []byte

// mutation is one invariant that is broken, and the tests of which one at least has to go red for that.
type mutation struct {
	name     string
	edits    []edit
	packages []string
	tests    string // a regexp, as go test's -run takes it
}

// edit is a piece of a file, named from the top of the repository, in whose place another one comes.
type edit struct {
	file, old, new string
}

// mutations reads the list. Each of its sections is a mutation: its name, which invariant is broken and how, and
// lines of
//
//	test PACKAGE … REGEXP
//	file FILE
//	-OLD
//	+NEW
//
// where the lines that begin with - must stand in FILE one after the other, exactly once, and those with + come in
// their place. The indentation is that of the file.
func mutations() (all []mutation, err error) {
	for _, section := range txtar.Parse(list).Files {
		m, err := parse(section.Name, string(section.Data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", section.Name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

func parse(name, text string) (mutation, error) {
	m := mutation{name: name}
	file := ""
	added := false // the line before began with +
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case words[0] == "test" && len(words) >= 3:
			m.packages, m.tests = words[1:len(words)-1], words[len(words)-1]
		case words[0] == "file" && len(words) == 2:
			file, added = words[1], true
		case line[0] == '-' && file != "":
			if added {
				m.edits = append(m.edits, edit{file: file})
			}
			m.edits[len(m.edits)-1].old += line[1:]
			added = false
		case line[0] == '+' && len(m.edits) > 0:
			m.edits[len(m.edits)-1].new += line[1:]
			added = true
		default:
			return m, fmt.Errorf("what is %q?", strings.TrimSpace(line))
		}
	}
	if m.tests == "" || len(m.edits) == 0 {
		return m, errors.New("it names no test, or changes nothing")
	}
	return m, nil
}

// apply returns the files of the repository top as they are with the mutation, by their names.
func (m mutation) apply(top string) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, done := changed[e.file]
		if !done {
			content, err := os.ReadFile(filepath.Join(top, e.file))
			if err != nil {
				return nil, err
			}
			text = string(content)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has this %d times, not once: bring the mutation up to date:\n%s", e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}

// What comes of a mutation.
const (
	killed   = "killed"   // a test has gone red
	survived = "SURVIVED" // none has
)

// try runs the tests of a mutation with its files in the place of the repository's. One that does not compile is an
// error: it proves nothing.
func (m mutation) try() (verdict string, err error) {
	top, err := os.Getwd()
	if err != nil {
		return "", err
	}
	changed, err := m.apply(top)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range changed {
		as := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(as, []byte(text), 0o644); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(top, file)] = as
	}
	content, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	names := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(names, content, 0o644); err != nil {
		return "", err
	}
	if out, err := exec.Command("go", append([]string{"vet", "-overlay", names}, m.packages...)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not compile: %w\n%s", err, out)
	}
	test := exec.Command("go", append([]string{"test", "-overlay", names, "-count=1", "-timeout=5m", "-run", m.tests}, m.packages...)...)
	out, err := test.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil && strings.Contains(string(out), "no tests to run"):
		return "", fmt.Errorf("%q names no test", m.tests)
	case err == nil:
		return survived, nil
	case errors.As(err, &exit):
		return killed, nil
	}
	return "", err
}
