package watch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"relinkd/fsys"
)

// sourceLabels lists every label of a changing call in the sources of watch, linker and pool: each
// string literal "what: call" that is handed to something.
func sourceLabels(t *testing.T) (ops []fsys.Op) {
	t.Helper()
	for _, dir := range []string{".", "../linker", "../pool"} {
		files, err := filepath.Glob(dir + "/*.go")
		must(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			must(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				var given []ast.Expr
				switch n := n.(type) {
				case *ast.CallExpr:
					given = n.Args
				case *ast.CompositeLit:
					given = n.Elts
				}
				for _, e := range given {
					if lit, ok := e.(*ast.BasicLit); ok {
						if op, ok := labelOf(lit); ok {
							ops = append(ops, op)
						}
					}
				}
				return true
			})
		}
	}
	slices.Sort(ops)
	if ops = slices.Compact(ops); len(ops) < 80 {
		t.Fatalf("found only the labels %q", ops)
	}
	return ops
}

var label = regexp.MustCompile(`^[a-z]+( [a-z]+)?: [a-z]+(-?[a-z]+| [a-z]+(-[a-z]+)?)?$`)

// labelOf is the label that a literal is.
func labelOf(lit *ast.BasicLit) (fsys.Op, bool) {
	text, err := strconv.Unquote(lit.Value)
	if err != nil || lit.Kind != token.STRING || !label.MatchString(text) {
		return "", false
	}
	return fsys.Op(text), true
}
