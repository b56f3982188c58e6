package relinkd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	unix     = "golang.org/x/sys/unix"
	zerolog  = "github.com/rs/zerolog"
	errgroup = "golang.org/x/sync/errgroup"
	ansi     = "github.com/charmbracelet/x/ansi"
)

// rule says what a package of relinkd may import (DESIGN.md §1).
type rule struct {
	ours    []string // of the other packages of relinkd
	libs    []string // of what is neither relinkd nor Go's own; nil for any
	because string
}

var rules = map[string]rule{
	"api":                   {[]string{"api/histogram"}, []string{}, "it is data that the daemon and all who ask it share"},
	"api/histogram":         {nil, []string{}, "it counts durations, whoever shows them"},
	"fsys":                  {nil, []string{unix}, "it is the seam to the file system, below all that changes files"},
	"pool":                  {[]string{"fsys"}, []string{unix, errgroup}, "it acts on copies, and knows nothing of events, configuration or what leads to a copy"},
	"linker":                {[]string{"fsys", "linker/launcher", "pool"}, []string{unix}, "it acts on path and the private link, and knows nothing of events or configuration; of pool it takes the copies' names and attributes"},
	"config":                {[]string{"fsys", "linker/launcher", "pool"}, nil, "it reads what an administrator says; of pool it takes the copies' names and their greatest number, of fsys who may own a file, of the launcher whether there is one"},
	"watch/pkgdb":           {[]string{"fsys"}, []string{unix}, "it reads what package managers have written"},
	"watch/install":         {[]string{"fsys", "linker/launcher", "watch/pkgdb"}, nil, "it tells what it sees, and has no use for what acts or decides; it knows a launcher, which is no source"},
	"watch/gauge":           {nil, []string{}, "it measures what it is told, by the clock that it is told"},
	"watch/procevents":      {nil, []string{unix}, "it passes on what the kernel tells"},
	"watch/proctable":       {[]string{"api/histogram", "fsys", "watch/gauge", "watch/procevents"}, []string{unix, errgroup, zerolog}, "it tells what it counts, and has no use for what acts or decides"},
	"watch":                 {[]string{"api", "api/histogram", "config", "fsys", "linker", "pool", "watch/gauge", "watch/install", "watch/proctable"}, nil, "it decides; who asks it, and how, is not its business"},
	"control":               {[]string{"api", "api/histogram", "config", "control/page", "fsys"}, nil, "it shows and passes on; what acts is reached through an interface"},
	"doctor":                {[]string{"api", "config", "console", "fsys", "linker", "pool", "watch/install", "watch/pkgdb", "watch/procevents"}, []string{unix}, "it looks and judges; of what acts it takes the names and the questions"},
	"console/top":           {[]string{"api", "console"}, []string{ansi, "charm.land/bubbletea/v2", "github.com/charmbracelet/colorprofile"}, "it shows what it is told and asks through an interface; not lipgloss, which runs tmux before main"},
	"console":               {[]string{"api"}, []string{ansi}, "it puts into words what it is given, and asks nobody"},
	"control/page":          {nil, []string{}, "it hands out what is embedded in it; a browser does the asking"},
	"demo":                  {[]string{"api", "console", "control", "fsys", "internal/standin"}, nil, "it runs relinkd from outside, as an administrator does"},
	"cmd/relinkd":           {[]string{"api", "config", "console", "console/top", "control", "demo", "doctor", "internal/hangup", "internal/journal", "internal/manual", "packaging", "watch"}, nil, "it puts the parts together; what acts is reached through watch alone"},
	"packaging":             {nil, []string{}, "it is what packages hold beside the program"},
	"internal/hangup":       {nil, []string{unix}, "it is initialised before all others, and what it needs comes before it"},
	"internal/journal":      {[]string{"api"}, []string{"github.com/coreos/go-systemd/v22/journal", zerolog}, "it passes on what is logged, and knows nothing but its kinds"},
	"internal/licences":     {nil, []string{}, "it reads what others have written"},
	"internal/manual":       {[]string{"config"}, []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}, "it tells what the program says of itself, and knows nothing of a host"},
	"internal/peers":        {[]string{"api", "control", "fsys", "internal/standin", "linker", "pool", "watch/proctable"}, nil, "it measures relinkd from outside, and the parts that have a limit of their own"},
	"internal/simulate":     {[]string{"pool", "watch/gauge"}, []string{}, "it plays the policy in virtual time, and touches nothing real"},
	"internal/standin":      {[]string{"internal/image"}, []string{}, "it is a few bytes of machine code"},
	"internal/image":        {nil, []string{}, "it is a few bytes of headers"},
	"linker/launcher":       {[]string{"internal/image"}, []string{}, "it is a few bytes of machine code, and knows nothing of where they are put"},
	"internal/fstest":       {nil, []string{unix}, "it is below the tests of all others"},
	"internal/faults":       {nil, []string{}, "tests of all others write down what they have shown"},
	"internal/transcript":   {nil, []string{}, "it reads documents, and runs nothing"},
	"internal/mutate":       {nil, []string{"github.com/rogpeppe/go-internal/txtar"}, "it breaks the source of all others, and is part of none"},
	"internal/suite":        {nil, []string{}, "it runs the tests of all others, and is there before what they need"},
	"internal/faults/table": {[]string{"internal/faults"}, []string{}, "it makes a page of that"},
}

// forks are the packages of the program that may import os/exec. The daemon never forks: a child has
// what is open for writing until it executes something, and a fresh copy fails with ETXTBSY then. The
// libraries of `relinkd top` execute what they are asked to, and tmux to find out its colours, which top
// tells them; at their start they execute nothing (TestStartAsksTheTerminalNothing).
var forks = []string{"relinkd/demo", "charm.land/bubbletea/v2", "github.com/charmbracelet/colorprofile"}

func TestImports(t *testing.T) {
	all := list(t)
	seen := map[string]bool{}
	for path, p := range all {
		name, isOurs := strings.CutPrefix(path, "relinkd/")
		if !isOurs || len(p.GoFiles) == 0 { // another's, or tests alone
			continue
		}
		seen[name] = true
		r, there := rules[name]
		if !there {
			t.Errorf("there is no rule for %s", name)
			continue
		}
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, "relinkd/")
			switch {
			case isOurs && !slices.Contains(r.ours, ours),
				!isOurs && !all[imported].Standard && r.libs != nil && !slices.Contains(r.libs, imported):
				t.Errorf("%s imports %s, but %s", name, imported, r.because)
			}
		}
	}
	for name := range maps.Keys(rules) {
		if !seen[name] {
			t.Errorf("there is a rule for %s, but no such package", name)
		}
	}
}

// What asks the daemon, or looks by itself, builds without it.
func TestWhoAsksIsBuiltWithoutTheDaemon(t *testing.T) {
	all := list(t)
	for _, name := range []string{"api", "console", "console/top", "control", "control/page", "demo", "doctor"} {
		if by := imports("relinkd/"+name, "relinkd/watch", all, map[string]bool{}); by != nil {
			t.Errorf("%s imports watch: %s", name, strings.Join(by, " -> "))
		}
	}
	if imports("relinkd/cmd/relinkd", "relinkd/watch", all, map[string]bool{}) == nil {
		t.Error("the program does not even import watch: this test looks at the wrong things")
	}
}

// imports returns how path imports what, directly or not, and nil where it does not.
func imports(path, what string, all map[string]pkg, seen map[string]bool) []string {
	if path == what {
		return []string{what}
	}
	if seen[path] {
		return nil
	}
	seen[path] = true
	for _, imported := range all[path].Imports {
		if by := imports(imported, what, all, seen); by != nil {
			return append([]string{path}, by...)
		}
	}
	return nil
}

func TestDaemonNeverForks(t *testing.T) {
	all := list(t)
	todo, seen := []string{"relinkd/cmd/relinkd"}, map[string]bool{}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		for _, imported := range all[path].Imports {
			if imported == "os/exec" && !slices.Contains(forks, path) {
				t.Errorf("%s imports os/exec, and is part of the daemon", path)
			}
			todo = append(todo, imported)
		}
	}
	if !seen["relinkd/watch"] || !seen["relinkd/demo"] {
		t.Error("the program does not even import watch and demo: this test looks at the wrong things")
	}
}

// pkg is what go list tells of a package; its tests are left out.
type pkg struct {
	ImportPath string
	Standard   bool
	GoFiles    []string
	Imports    []string
}

// list is all packages of relinkd and what they import, directly or not.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-buildvcs=false", "-deps", "-json=ImportPath,Standard,GoFiles,Imports", "./...")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	all := map[string]pkg{}
	for packages := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all[p.ImportPath] = p
	}
}
