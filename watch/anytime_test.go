package watch

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/standin"
)

// The ways in which meddle changes a copy.
const (
	replaced = iota // by a file like it
	written
	appendedTo
	waysToMeddle
)

// meddle changes the file at path, as far as that can be done: it may be executed or be replaced just now.
func meddle(path string, way int) {
	switch content, err := os.ReadFile(path); {
	case err != nil:
	case way == replaced:
		if os.WriteFile(path+".tmp", content, 0o755) == nil {
			_ = os.Rename(path+".tmp", path)
		}
	case way == written:
		_ = os.WriteFile(path, standin.ELF("other"), 0o755)
	default:
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, _ = f.WriteString("more")
			_ = f.Close()
		}
	}
}

// Whenever a copy is changed, in the midst of an upgrade or while another one is mended, too, it does not stay
// so under a steady target.
func TestCopyChangedAtAnyTime(t *testing.T) {
	for _, publish := range ways {
		t.Run(string(publish), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *config.Target) { c.Publish = publish })
			s.install("0")
			d := s.start()
			d.steady("0")
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			t.Logf("seed %d", seed)
			soon := func() { time.Sleep(time.Duration(random.IntN(10_000)) * time.Microsecond) }
			late := 0
			for i := 1; i <= 60; i++ {
				version := fmt.Sprint(i)
				s.install(version)
				if i%2 == 0 { // one copy is changed while another one is mended
					d.waitFor("version "+version, func(st api.TargetStatus) bool { return st.State == api.Steady && st.Generation.SHA256 == sha(version) })
					for _, way := range []int{replaced, appendedTo} {
						if linked, err := filepath.EvalSymlinks(s.privateLink()); err == nil && linked != s.path {
							meddle(linked, way)
						}
						soon()
					}
				} else {
					soon()
					meddle(s.copy(1+random.IntN(3)), random.IntN(waysToMeddle))
				}
				changed := time.Now()
				d.waitFor("steady, all copies of version "+version, func(st api.TargetStatus) bool {
					if st.State != api.Steady || st.Generation.SHA256 != sha(version) || len(st.Copies) < 3 {
						return false
					}
					for _, c := range st.Copies {
						if !holdsVersion(filepath.Join(s.dir, c.Name), version) {
							return false
						}
					}
					return true
				})
				if time.Since(changed) > 9*time.Second {
					late++
				}
			}
			if late > 1 { // the loop glances every ten seconds; a stall of the machine is one
				t.Errorf("%d changes were not found at once, but by a glance", late)
			}
		})
	}
}
