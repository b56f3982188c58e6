package main

import (
	"path/filepath"
	"testing"
)

// Each mutation can still be made: what it breaks is there, once, and whoever moves that moves the mutation too.
func TestMutationsApply(t *testing.T) {
	all, err := mutations()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there are no mutations")
	}
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.name] {
			t.Errorf("%s: there are two", m.name)
		}
		seen[m.name] = true
		if _, err := m.apply(filepath.Join("..", "..")); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
