package watch

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"relinkd/config"
	"relinkd/pool"
)

// The machine starts again after an upgrade that no daemon saw: the install directory's file system
// has another number, and the last manifest may be lost. The copies of the former version are known
// as relinkd's all the same, though nothing is left of what they were made from.
func TestNewStartOfTheMachine(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("manifest lost %v", lost), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = config.PublishNone })
			s.install("1")
			d := s.start()
			d.steady("1")
			d.stop()
			for _, suffix := range []string{".json", ".json.synced"} {
				renumber(t, filepath.Join(s.cfg.State.Dir, name+suffix))
			}
			if lost {
				must(t, os.Truncate(filepath.Join(s.cfg.State.Dir, name+".json"), 0))
			}
			s.install("2")
			s.start().steady("2")
		})
	}
}

// renumber makes a manifest one from before the file system got its number.
func renumber(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	var m pool.Manifest
	must(t, json.Unmarshal(data, &m))
	m.Renumber(m.Device + 1)
	data, err = json.Marshal(m)
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
}
