package watch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// changing begins the names of calls that change a file system, in packages os, syscall and unix.
var changing = []string{
	"Chmod", "Chown", "Chtimes", "CopyFileRange", "Create", "Fallocate", "Fchmod", "Fchown", "Fdatasync", "Fremovexattr",
	"Fsetxattr", "Fsync", "Ftruncate", "Futimes", "IoctlFileClone", "Lchown", "Link", "Lremovexattr", "Lsetxattr", "Mkdir",
	"Mkfifo", "Mknod", "Pwrite", "Remove", "Rename", "Rmdir", "Sendfile", "Setxattr", "Splice", "Symlink", "Truncate", "Unlink",
	"Utimes", "Write",
}

// underLabel is the functions of pool that are called with a label around them.
var underLabel = []string{"copyInKernel", "copyByHand"}

// Nothing in pool, linker and watch changes the file system behind the back of the seam, and every call
// through it bears a label that sourceLabels finds: a changing call without a story fails TestFaults.
func TestEveryChangeBearsALabel(t *testing.T) {
	labelled := seam(t)
	found := 0
	for _, dir := range []string{".", "../linker", "../pool"} {
		files, err := filepath.Glob(dir + "/*.go")
		must(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, nil, 0)
			must(t, err)
			for _, decl := range file.Decls {
				f, ok := decl.(*ast.FuncDecl)
				if !ok || slices.Contains(underLabel, f.Name.Name) {
					continue
				}
				ast.Inspect(f, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					called, ok := call.Fun.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					if of, ok := called.X.(*ast.Ident); ok && slices.Contains([]string{"os", "syscall", "unix"}, of.Name) {
						for _, begin := range changing {
							if strings.HasPrefix(called.Sel.Name, begin) {
								t.Errorf("%s: %s.%s changes the file system without a label", fset.Position(call.Pos()), of.Name, called.Sel.Name)
							}
						}
						return true
					}
					if !labelled[called.Sel.Name] || len(call.Args) == 0 {
						return true
					}
					found++
					if !isLabel(call.Args[0]) {
						t.Errorf("%s: sourceLabels does not find the label of this %s", fset.Position(call.Pos()), called.Sel.Name)
					}
					return called.Sel.Name != "File" // what it is given is done under its label
				})
			}
		}
	}
	if found < 80 {
		t.Errorf("found only %d labelled calls: this looks at the wrong things", found)
	}
}

// seam is the names of fsys.Dir's methods that take a label.
func seam(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../fsys/fsys.go", nil, 0)
	must(t, err)
	names := map[string]bool{}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv == nil || !f.Name.IsExported() || len(f.Type.Params.List) == 0 {
			continue
		}
		if first, ok := f.Type.Params.List[0].Type.(*ast.Ident); ok && first.Name == "Op" {
			names[f.Name.Name] = true
		}
	}
	if !names["Exchange"] || !names["File"] || names["Lstat"] {
		t.Fatalf("the methods that take a label are said to be %v", names)
	}
	return names
}

// isLabel reports whether e is a label that sourceLabels finds, or one that was handed on: a parameter
// op, or a field of ops.
func isLabel(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, ok := labelOf(e)
		return ok && text != ""
	case *ast.Ident:
		return e.Name == "op"
	case *ast.SelectorExpr:
		of, ok := e.X.(*ast.Ident)
		return ok && of.Name == "ops"
	}
	return false
}
