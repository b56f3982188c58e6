package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"relinkd/config"
)

func TestDropIn(t *testing.T) {
	root := t.TempDir()
	h := HostAt(root)
	dirs := []string{"/usr/lib/cyrus/bin", "/opt/mail/bin", "/opt/mail/bin", "/var/lib/relinkd", "/srv/state"}
	if got := h.DropIn(dirs...); got != "" {
		t.Errorf("without a unit: %q", got)
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(root, "lib/systemd/system", config.Unit), "[Service]\nProtectSystem=strict\nReadWritePaths=-/usr/lib/cyrus/bin\n")
	if got, want := h.DropIn(dirs...), "[Service]\nReadWritePaths=-/opt/mail/bin\nReadWritePaths=-/srv/state\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	put(filepath.Join(root, "etc/systemd/system", config.Unit+".d", "opt.conf"), "[Service]\nReadWritePaths=-/opt -/srv\n")
	if got := h.DropIn(dirs...); got != "" {
		t.Errorf("with a drop-in for all of them: %q", got)
	}
}

// The unit opens every directory in which path = "auto" looks.
func TestUnitOpensInstallDirs(t *testing.T) {
	unit, err := os.ReadFile("../packaging/relinkd.service")
	if err != nil {
		t.Fatal(err)
	}
	h := HostAt(t.TempDir())
	dir := h.Units[len(h.Units)-1]
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, config.Unit), string(unit))
	if got := h.DropIn(config.InstallDirs()...); got != "" {
		t.Errorf("relinkd.service needs\n%s", got)
	}
	if h.DropIn("/opt/mail/bin") == "" {
		t.Error("the unit opens everything")
	}
}
