package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad gives Load any bytes: it ends with a Config that keeps its promises, or with problems
// that each name the file. (Go visits maps in no order, which the fuzzer takes for new coverage: give
// it -fuzzminimizetime=10x, or it spends its time on that.)
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		contract, everyKey, good, "", "[target]", "[[target.imapd]]", "target = 3", "a.b.c = {d = {e = 1}}\n[a.b]",
		"[target.imapd]\nsettle = { quiet = 1, max = [{}] }", "\xff", "[target.\"\\u0000\"]", "target.imapd.settle.quiet.x = 1979-05-27",
	} {
		f.Add([]byte(text))
	}
	root := f.TempDir()
	file := filepath.Join(root, "relinkd.toml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Options{File: file, Root: root})
		if err == nil {
			sound(t, c)
			return
		}
		var all *Errors
		if !errors.As(err, &all) || len(all.Problems) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for _, p := range all.Problems {
			if p.File != file || p.Origin != "" || p.Line < 0 || p.Found == "" || p.Allowed == "" {
				t.Errorf("problem %+v", p)
			}
		}
	})
}

// sound checks what the doc comments of Config promise.
func sound(t *testing.T, c *Config) {
	if len(c.Targets) == 0 {
		t.Error("no target")
	}
	for i, target := range c.Targets {
		if i > 0 && target.Name <= c.Targets[i-1].Name {
			t.Errorf("target %q after %q", target.Name, c.Targets[i-1].Name)
		}
		if !filepath.IsAbs(target.Path) || target.Path != filepath.Clean(target.Path) ||
			target.Copies < 1 || target.Copies > target.MaxCopies || target.MaxCopies > 999 ||
			target.Threshold < 1 || !(target.RotateAt > 0 && target.RotateAt <= 1) ||
			target.MinDwell < 0 || target.Interval <= 0 ||
			target.Settle.Quiet < 0 || target.Settle.Quiet > target.Settle.Max ||
			target.Publish == "" || target.Rotation == "" {
			t.Errorf("target %+v", target)
		}
	}
	if c.Census.Interval <= 0 || c.Census.Verify <= 0 || c.Log.Level == "" || c.Log.Format == "" ||
		!filepath.IsAbs(c.Control.Socket) || !filepath.IsAbs(c.State.Dir) {
		t.Errorf("configuration %+v", c)
	}
}
