package demo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"relinkd/internal/standin"
)

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// underLoad runs a master until the test's part is over, and returns what it tallied.
func underLoad(t *testing.T, m *master, part func()) tally {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var load sync.WaitGroup
	load.Go(func() { m.run(ctx) })
	defer load.Wait()
	defer cancel()
	part()
	cancel()
	load.Wait()
	return m.tally()
}

// install writes a stand-in into a new directory.
func install(t *testing.T, version string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), target)
	if err := standin.Write(path, version); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMasterKeepsThePopulation(t *testing.T) {
	m := newMaster(install(t, "1"), 12)
	got := underLoad(t, m, func() {
		eventually(t, "12 processes", func() bool { return m.tally().alive == 12 })
		// Lives end, and others begin in their place.
		eventually(t, "20 spawns", func() bool { return m.tally().spawns >= 20 })
	})
	if got.failed != 0 || got.refused != 0 || got.outdated != 0 {
		t.Errorf("%+v, want nothing failed, refused or outdated", got)
	}
	if got.highest != 12 {
		t.Errorf("at most %d on the one executable, want 12", got.highest)
	}
	if got.alive != 0 || len(m.running) != 0 {
		t.Errorf("%d processes are left, on %d executables", got.alive, len(m.running))
	}
}

func TestMasterTellsExecutablesApart(t *testing.T) {
	path := install(t, "1")
	m := newMaster(path, 10)
	got := underLoad(t, m, func() {
		eventually(t, "10 processes", func() bool { return m.tally().alive == 10 })
		if err := standin.Write(path, "2"); err != nil {
			t.Error(err)
		}
		m.retire(standin.ELF("1"))
		eventually(t, "a process of version 2", func() bool { return !m.firstRun(standin.ELF("2")).IsZero() })
	})
	if got.failed != 0 || got.outdated != 0 {
		t.Errorf("%+v, want nothing failed or outdated", got)
	}
	if got.highest != 10 {
		t.Errorf("at most %d on one executable, want the 10 of version 1", got.highest)
	}
	if first := m.firstRun(standin.ELF("3")); !first.IsZero() {
		t.Errorf("version 3 first ran at %v, want never", first)
	}
}

func TestMasterSeesTheOldVersion(t *testing.T) {
	m := newMaster(install(t, "1"), 2)
	m.retire(standin.ELF("1"))
	got := underLoad(t, m, func() {
		eventually(t, "2 processes", func() bool { return m.tally().alive == 2 })
	})
	if got.outdated < 2 {
		t.Errorf("%d outdated, want every one of %d spawns", got.outdated, got.spawns)
	}
}

func TestMasterCountsFailedSpawns(t *testing.T) {
	m := newMaster(filepath.Join(t.TempDir(), "missing"), 2)
	got := underLoad(t, m, func() {
		eventually(t, "a spawn", func() bool { return m.tally().spawns > 0 })
	})
	if got.failed != got.spawns || got.refused != 0 {
		t.Errorf("%+v, want all spawns failed", got)
	}
	if got.firstFailure == nil || !strings.Contains(got.firstFailure.Error(), "no such file") {
		t.Errorf("first failure %v", got.firstFailure)
	}
}

func TestMasterCountsBadEndings(t *testing.T) {
	program, err := exec.LookPath("false")
	if err != nil {
		t.Skip("there is no program that fails:", err)
	}
	m := newMaster(program, 2)
	got := underLoad(t, m, func() {
		eventually(t, "a spawn", func() bool { return m.tally().spawns > 0 })
	})
	if got.failed == 0 {
		t.Errorf("%+v, want failures", got)
	}
}

func TestMasterForgivesItsOwnDeletion(t *testing.T) {
	path := install(t, "1")
	m := newMaster(path, 1000) // never complete, so that there is always a spawn under way
	got := underLoad(t, m, func() {
		eventually(t, "a spawn", func() bool { return m.tally().spawns > 0 })
		m.deleting()
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		eventually(t, "a refused spawn", func() bool { return m.tally().refused > 0 })
		if err := standin.Write(path, "1"); err != nil {
			t.Error(err)
		}
		m.back()
		before := m.tally().spawns
		eventually(t, "another spawn", func() bool { return m.tally().spawns > before })
	})
	if got.failed != 0 {
		t.Errorf("%+v (%v), want no failure", got, got.firstFailure)
	}
}
