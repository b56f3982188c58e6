package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
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

// thatAsk are the tests in files of one package that reach os.Getuid, os.Geteuid or fstest, directly or by what the
// files declare. Functions, methods and variables are told apart by their names alone: it may be too many.
func thatAsk(t *testing.T, files []string) []string {
	t.Helper()
	uses := map[string]map[string]bool{} // by what is declared, the names that it uses
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, content, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		note := func(name string, node ast.Node) {
			if uses[name] == nil {
				uses[name] = map[string]bool{}
			}
			ast.Inspect(node, func(n ast.Node) bool {
				if id, is := n.(*ast.Ident); is {
					uses[name][id.Name] = true
				}
				return true
			})
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
	asks := map[string]bool{"Getuid": true, "Geteuid": true, "fstest": true} // which mounts for root alone
	for grown := true; grown; {
		grown = false
		for name, used := range uses {
			for u := range used {
				if asks[u] && !asks[name] {
					asks[name], grown = true, true
				}
			}
		}
	}
	var tests []string
	for name := range asks {
		if strings.HasPrefix(name, "Test") && name != "TestMain" && uses[name] != nil {
			tests = append(tests, name)
		}
	}
	slices.Sort(tests)
	return tests
}
