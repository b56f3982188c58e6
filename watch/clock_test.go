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

// wallClock is the functions that may reckon by the clock on the wall, and why that can do no harm.
var wallClock = map[string]string{
	"fsys.ModTime":    "what a file system says, to be shown or compared with another such time",
	"install.wait":    "a file's own times, of which those to come count for nothing and older ones for no more than settle.max",
	"pool.differs":    "text of a message",
	"procevents.Stop": "a deadline that is long past by any clock",
}

// stepping is the calls by which a time.Time comes without, or loses, its reading of the clock that nobody
// can step; what is reckoned with it then goes wrong when the clock is set.
var stepping = []string{"Date", "In", "Local", "Parse", "ParseInLocation", "UTC", "Unix", "UnixMicro", "UnixMilli", "UnixNano"}

// A clock that is stepped makes no wait longer or shorter: deadlines and ages are reckoned by times that
// carry the monotonic clock.
func TestNoWaitGoesByTheWallClock(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range []string{".", "gauge", "install", "pkgdb", "procevents", "proctable", "../pool", "../linker", "../fsys"} {
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
				if !ok {
					continue
				}
				where := file.Name.Name + "." + f.Name.Name
				ast.Inspect(f, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok || !steps(call) {
						return true
					}
					if used[where] = true; wallClock[where] == "" {
						t.Errorf("%s: %s goes by the clock on the wall, which may be stepped", fset.Position(call.Pos()), where)
					}
					return true
				})
			}
		}
	}
	for where := range wallClock {
		if !used[where] {
			t.Errorf("%s does not go by the clock on the wall any more: take it off the list", where)
		}
	}
}

// steps reports whether a call is one of stepping, or the Round(0) of a time.
func steps(call *ast.CallExpr) bool {
	called, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if name := called.Sel.Name; name == "Round" {
		arg, ok := call.Args[0].(*ast.BasicLit)
		return ok && arg.Value == "0"
	}
	return slices.Contains(stepping, called.Sel.Name)
}
