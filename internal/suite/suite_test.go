package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What test2json says of a package: a test passes, one is left out, one fails, and the last never ends.
const said = `{"Action":"start"}
{"Action":"run","Test":"TestA"}
{"Action":"output","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Test":"TestA","Elapsed":1.5}
{"Action":"run","Test":"TestB"}
{"Action":"run","Test":"TestB/root"}
{"Action":"output","Test":"TestB/root","Output":"    b_test.go:7: needs root, to look\n"}
{"Action":"skip","Test":"TestB/root","Elapsed":0}
{"Action":"output","Test":"TestB","Output":"    b_test.go:9: wrong\n"}
{"Action":"fail","Test":"TestB","Elapsed":0}
not of a test
{"Action":"run","Test":"TestC"}
{"Action":"output","Test":"TestC","Output":"=== RUN   TestC\n"}
{"Action":"output","Output":"panic: at the disco\n"}
`

func TestRead(t *testing.T) {
	var told []string
	r := result{pkg: "pkg"}
	if err := read(strings.NewReader(said), func(t test) { told = append(told, t.verdict+" "+t.name) }, &r); err != nil {
		t.Fatal(err)
	}
	if want := []string{"pass TestA", "skip TestB/root", "fail TestB", "fail TestC"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if r.tests[0].took.Seconds() != 1.5 || reason(r.tests[1].out) != "needs root, to look" {
		t.Errorf("tests %+v", r.tests)
	}
	r.err = os.ErrInvalid
	var out bytes.Buffer
	if err := verdict(&out, []result{r}); err == nil {
		t.Error("a failure is not told")
	}
	for _, part := range []string{"1 passed, 2 failed, 1 skipped", "b_test.go:9: wrong", "it did not end", "panic: at the disco", "not of a test"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is not in\n%s", part, &out)
		}
	}
	if strings.Contains(out.String(), "TestA") {
		t.Errorf("what passed is told:\n%s", &out)
	}
}

// The list and both runs are held against each other.
func TestCompare(t *testing.T) {
	of := func(verdicts string) []result {
		r := result{pkg: "pkg"}
		for _, v := range strings.Fields(verdicts) {
			name, verdict, _ := strings.Cut(v, "=")
			r.tests = append(r.tests, test{name: name, verdict: verdict})
		}
		return []result{r}
	}
	list := []listed{{"pkg", "TestRoot", false}}
	for _, tt := range []struct {
		name, root, ordinary string
		list                 []listed
		all                  bool
		want                 string // in the error; "" for none
	}{
		{"as listed", "TestRoot=pass TestBoth=pass", "TestRoot=skip TestBoth=pass", list, true, ""},
		{"not listed", "TestRoot=pass TestNew=pass", "TestRoot=skip TestNew=skip", list, true, "TestNew of pkg is judged otherwise"},
		{"a part is not listed", "TestRoot=pass TestNew=pass TestNew/a=pass", "TestRoot=skip TestNew=pass TestNew/a=skip", list, true, "TestNew of pkg is judged otherwise"},
		{"a part is there for one only", "TestRoot=pass", "TestRoot=skip TestNew=pass TestNew/a=pass", list, true, "TestNew of pkg is judged otherwise"},
		{"the listed ones alone", "TestRoot=pass TestBoth=pass", "TestRoot=skip", list, false, ""},
		{"listed and gone", "TestBoth=pass", "TestBoth=pass", list, false, "TestRoot of pkg, which did not run"},
		{"alike", "TestRoot=pass", "", []listed{{"pkg", "TestRoot", true}}, false, ""},
		{"alike but for a part that is skipped", "TestRoot=pass TestRoot/a=pass", "TestRoot=pass TestRoot/a=skip", []listed{{"pkg", "TestRoot", true}}, true, ""},
		{"a part is listed", "TestRoot=pass TestRoot/a=pass", "TestRoot=pass TestRoot/a=skip", []listed{{"pkg", "TestRoot/a", false}}, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := compare(tt.list, of(tt.root), of(tt.ordinary), tt.all)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// What the plan names is there: a package that was renamed would lose its place.
func TestPlanNamesPackages(t *testing.T) {
	named := slices.Concat(apart, longest)
	for pkg := range alone {
		named = append(named, pkg)
	}
	for _, pkg := range named {
		if files, _ := filepath.Glob(filepath.Join(top, pkg, "*_test.go")); len(files) == 0 {
			t.Errorf("%s has no tests", pkg)
		}
	}
}

// Beside a package that must be alone nothing runs but what is apart, and each runs once.
func TestSchedule(t *testing.T) {
	var binaries []binary
	for _, pkg := range slices.Concat(longest, apart, slices.Collect(maps.Keys(alone)), []string{"a", "b", "c"}) {
		binaries = append(binaries, binary{pkg: pkg})
	}
	var mu sync.Mutex
	running, most := map[string]bool{}, 0
	systems := make(chan struct{})
	var ended sync.Once
	results := schedule(binaries, func(b binary) result {
		if slices.Contains(apart, b.pkg) {
			<-systems // it takes as long as all others
			return result{pkg: b.pkg}
		}
		mu.Lock()
		for other := range running {
			if alone[b.pkg] != "" || alone[other] != "" {
				t.Errorf("%s runs beside %s", b.pkg, other)
			}
		}
		running[b.pkg] = true
		most = max(most, len(running))
		last := alone[b.pkg] != "" && len(running) == 1
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		delete(running, b.pkg)
		mu.Unlock()
		if last {
			ended.Do(func() { close(systems) })
		}
		return result{pkg: b.pkg}
	})
	if len(results) != len(binaries) || !slices.IsSortedFunc(results, func(a, b result) int { return strings.Compare(a.pkg, b.pkg) }) {
		t.Errorf("%d results of %d binaries: %+v", len(results), len(binaries), results)
	}
	if most > atOnce*runtime.NumCPU() {
		t.Errorf("%d at once", most)
	}
}
