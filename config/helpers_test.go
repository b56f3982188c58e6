package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a configuration file that only its owner may write or replace and returns its path.
func write(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	file := filepath.Join(dir, "relinkd.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// problems are the lines of a failed Load, with the directory of the file and root taken off. A Load
// that succeeds has none.
func problems(t testing.TB, o Options) []string {
	t.Helper()
	_, err := Load(o)
	if err == nil {
		return nil
	}
	var all *Errors
	if !errors.As(err, &all) || len(all.Problems) == 0 {
		t.Fatalf("Load returned %T, not problems: %v", err, err)
	}
	text := err.Error()
	if o.Root != "" {
		text = strings.ReplaceAll(text, o.Root, "ROOT")
	}
	return strings.Split(strings.ReplaceAll(text, filepath.Dir(o.File)+"/", ""), "\n")
}

// load loads what must be right.
func load(t testing.TB, o Options) *Config {
	t.Helper()
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// place makes an executable file and the directories above it.
func place(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(path), 0o755); err != nil {
		t.Fatal(err)
	}
}
