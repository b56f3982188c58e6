package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// top is the top of the repository.
const top = "../.."

// A test that asks who runs it, itself or by what it calls, may be judged otherwise for an ordinary user:
// ordinary.txt must say so, or that it is not.
func TestEveryTestThatAsksIsListed(t *testing.T) {
	list, err := ordinaryList()
	if err != nil {
		t.Fatal(err)
	}
	asking := map[string][]string{} // by package
	for dir, files := range testFiles(t) {
		asking[dir] = thatAsk(t, files)
	}
	if len(asking["watch/proctable"]) == 0 {
		t.Fatal("no test of watch/proctable asks who runs it: this looks at the wrong things")
	}
	for pkg, tests := range asking {
		for _, test := range tests {
			if !slices.ContainsFunc(list, func(l listed) bool { return l.pkg == pkg && (l.test == test || strings.HasPrefix(l.test, test+"/")) }) {
				t.Errorf("%s of %s asks who runs it: ordinary.txt must say whether it behaves otherwise for an ordinary user", test, pkg)
			}
		}
	}
}

// testFiles are the files with tests, by their directory from the top.
func testFiles(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != top && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			dir, _ := filepath.Rel(top, filepath.Dir(path))
			all[dir] = append(all[dir], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// thatAsk are the tests in files of one package that reach os.Getuid or os.Geteuid, directly, by what the files
// declare, or by fstest, which mounts file systems for root alone.
func thatAsk(t *testing.T, files []string) (tests []string) {
	t.Helper()
	mounts, err := filepath.Glob(filepath.Join(top, "internal/fstest/*.go"))
	if err != nil || len(mounts) == 0 {
		t.Fatalf("fstest: %q, %v", mounts, err)
	}
	seeds := []string{"Getuid", "Geteuid"}
	for _, name := range askers(t, mounts, seeds) {
		seeds = append(seeds, "fstest."+name)
	}
	for _, name := range askers(t, files, seeds) {
		if strings.HasPrefix(name, "Test") && name != "TestMain" {
			tests = append(tests, name)
		}
	}
	return tests
}

// askers are the functions, methods and variables of a package that reach one of the seeds. They are told apart
// by their names alone: it may be too many.
func askers(t *testing.T, files, seeds []string) []string {
	t.Helper()
	uses := map[string]map[string]bool{} // by what is declared, the names that it uses
	note := func(name string, node ast.Node) {
		if uses[name] == nil {
			uses[name] = map[string]bool{}
		}
		ast.Inspect(node, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				uses[name][n.Name] = true
			case *ast.SelectorExpr:
				if of, is := n.X.(*ast.Ident); is {
					uses[name][of.Name+"."+n.Sel.Name] = true
				}
			}
			return true
		})
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Body != nil {
					note(d.Name.Name, d.Body)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, is := spec.(*ast.ValueSpec); is && len(v.Values) > 0 {
						for _, id := range v.Names {
							note(id.Name, v)
						}
					}
				}
			}
		}
	}
	asks := map[string]bool{}
	for _, seed := range seeds {
		asks[seed] = true
	}
	var names []string
	for grown := true; grown; {
		grown = false
		for name, used := range uses {
			for u := range used {
				if asks[u] && !asks[name] {
					asks[name], grown = true, true
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}
