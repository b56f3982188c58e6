package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// nobody is the uid and gid that Linux gives to nobody in particular.
const nobody = 65534

// ordinaryText lists the tests that behave otherwise for an ordinary user than for root, a line each:
// package, test, reason. The reason of one that asks who runs it, and of which root runs the ordinary user's
// part too, begins with "alike:"; it is not run twice.
//
//go:embed ordinary.txt
var ordinaryText string

// listed is a line of ordinary.txt.
type listed struct {
	pkg, test string
	alike     bool
}

func ordinaryList() (all []listed, err error) {
	for line := range strings.Lines(ordinaryText) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			return nil, fmt.Errorf("ordinary.txt: %q: want a package, a test and a reason", strings.TrimSpace(line))
		}
		all = append(all, listed{words[0], words[1], words[2] == "alike:"})
	}
	return all, nil
}

// asOrdinaryUser runs the listed tests once more as an ordinary user, without the race detector, in a copy
// of this checkout that is theirs. The long run is of all tests, and compares both runs' verdicts.
func (s *suite) asOrdinaryUser(ctx context.Context) error {
	list, err := ordinaryList()
	if err != nil {
		return err
	}
	patterns, only := []string{"./..."}, map[string]string{}
	if !long() {
		patterns = nil
		for _, l := range list {
			switch {
			case l.alike:
			case only[l.pkg] == "":
				only[l.pkg] = exactly(l.test)
				patterns = append(patterns, "./"+l.pkg)
			default:
				only[l.pkg] += "|" + exactly(l.test)
			}
		}
	}
	binaries, err := compile(ctx, filepath.Join(s.scratch, "ordinary"), nil, patterns)
	if err != nil {
		return err
	}
	home, err := handOut(ctx, filepath.Join(s.scratch, "checkout"))
	if err != nil {
		return err
	}
	if err := os.Chmod(s.scratch, 0o755); err != nil {
		return err
	}
	r := runner{
		top:  filepath.Join(s.scratch, "checkout"),
		only: only,
		env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8",
			"GOFLAGS=-mod=vendor -buildvcs=false", "GOTOOLCHAIN=local", "LONG_TESTS=" + os.Getenv("LONG_TESTS")},
		credential: &syscall.Credential{Uid: nobody, Gid: nobody},
	}
	s.ordinary = schedule(binaries, func(b binary) result { return r.run(ctx, b) })
	if err := verdict(os.Stdout, s.ordinary); err != nil {
		return err
	}
	return compare(list, s.results, s.ordinary, long())
}

// exactly is the pattern of a test, or a part of one, and of no other.
func exactly(name string) string { return "^" + strings.ReplaceAll(name, "/", "$/^") + "$" }

// handOut copies what git knows of this checkout, as it stands, to a directory that is the ordinary user's,
// with the modules: root's own may be out of reach. It returns a home.
func handOut(ctx context.Context, to string) (home string, err error) {
	home = filepath.Join(to, ".home")
	script := `mkdir -p "$1/.home" && git ls-files -z | xargs -0 cp --parents -t "$1" && cd "$1" && go mod vendor && chown -R ` +
		fmt.Sprintf("%d:%[1]d", nobody) + ` .`
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script, "bash", to)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return home, cmd.Run()
}

// compare holds both runs' verdicts, and the list, against each other. All of both runs is there only when
// all is true. Of a test that is alike it compares the parts that both runs have.
func compare(list []listed, root, ordinary []result, all bool) error {
	type key struct{ pkg, test string }
	verdicts := func(results []result) map[key]string {
		m := map[key]string{}
		for _, r := range results {
			for _, t := range r.tests {
				m[key{r.pkg, t.name}] = t.verdict
			}
		}
		return m
	}
	of := [2]map[key]string{verdicts(root), verdicts(ordinary)}
	wrong := map[string]bool{}
	lists := map[key]bool{}
	for _, l := range list {
		top, _, _ := strings.Cut(l.test, "/")
		lists[key{l.pkg, top}] = true
		k := key{l.pkg, l.test}
		if of[0][k] == "" || !l.alike && of[1][k] == "" {
			wrong[fmt.Sprintf("ordinary.txt lists %s of %s, which did not run", l.test, l.pkg)] = true
		}
	}
	for i := range of {
		for k, verdict := range of[i] {
			top, _, _ := strings.Cut(k.test, "/")
			if all && verdict != of[1-i][k] && !lists[key{k.pkg, top}] {
				wrong[fmt.Sprintf("%s of %s is judged otherwise for an ordinary user: ordinary.txt must list it", top, k.pkg)] = true
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(slices.Sorted(maps.Keys(wrong)), "\n"))
}
