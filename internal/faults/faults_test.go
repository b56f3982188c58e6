package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows")
	t.Setenv(Variable, path)
	r := Row{What: "a thing", Injected: "a fault", Times: 3, Survived: "all"}
	Record(t, r)
	t.Run("sub", func(t *testing.T) { Record(t, r) })
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := `{"Test":"TestRecord","What":"a thing","Injected":"a fault","Times":3,"Survived":"all"}` + "\n"
	if string(content) != strings.Repeat(line, 2) {
		t.Errorf("recorded:\n%s", content)
	}
}

func TestRecordNowhere(t *testing.T) {
	t.Setenv(Variable, "")
	Record(t, Row{What: "a thing", Injected: "a fault", Times: 1, Survived: "all"})
}
