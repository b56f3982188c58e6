package doctor

import (
	"os"
	"path/filepath"
	"testing"
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
	put(filepath.Join(root, "lib/systemd/system", unitName), "[Service]\nProtectSystem=strict\nReadWritePaths=-/usr/lib/cyrus/bin\n")
	if got, want := h.DropIn(dirs...), "[Service]\nReadWritePaths=-/opt/mail/bin\nReadWritePaths=-/srv/state\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	put(filepath.Join(root, "etc/systemd/system", unitName+".d", "opt.conf"), "[Service]\nReadWritePaths=-/opt -/srv\n")
	if got := h.DropIn(dirs...); got != "" {
		t.Errorf("with a drop-in for all of them: %q", got)
	}
}
