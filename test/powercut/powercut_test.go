package powercut

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"relinkd/config"
	"relinkd/internal/faults"
)

// cutsPerPhase is how often the power fails in each phase of a life, in a run of the usual length.
const cutsPerPhase = 4

var kinds = []fsKind{
	{"ext4", 64 << 20, []string{"mkfs.ext4", "-q"}},
	{"xfs", 320 << 20, []string{"mkfs.xfs", "-q"}},
	{"btrfs", 256 << 20, []string{"mkfs.btrfs", "-q"}},
}

// Whenever the power fails, whoever executes path gets a program in full; and relinkd comes to rest by
// itself when it starts again.
func TestPowerCut(t *testing.T) {
	needDisks(t)
	relinkd := buildRelinkd(t)
	perPhase := cutsPerPhase
	if os.Getenv("LONG_TESTS") != "" {
		perPhase *= 25
	}
	var cuts atomic.Int64
	t.Run("on", func(t *testing.T) {
		for _, kind := range kinds {
			for _, publish := range []config.Publish{config.PublishSymlink, config.PublishLauncher, config.PublishNone} {
				t.Run(fmt.Sprintf("%s %s", kind.name, publish), func(t *testing.T) {
					t.Parallel()
					s := newSite(t, relinkd, publish)
					cuts.Add(s.suffer(kind, perPhase))
				})
			}
		}
	})
	const least = 250
	if n := cuts.Load(); n >= least {
		faults.Record(t, faults.Row{
			What:     "first publish, rotation, upgrade, restore, manage",
			Injected: "power cut, with any of the writes lost that no flush has followed; ext4, xfs, btrfs",
			Times:    least,
			Survived: "path and the private link execute, in full; a new start comes to steady by itself, with the newest version, and leaves nothing over",
		})
	}
}

// suffer records a life, has the power fail in it, and returns how often.
func (s *site) suffer(kind fsKind, perPhase int) int64 {
	t := s.t
	r := s.recordLife(kind)
	cuts := r.choose(perPhase, rand.New(rand.NewPCG(4, 1)))
	harm := r.fail(t, cuts, func(want expectation) error {
		if err := s.examine(want); err != nil {
			return err
		}
		return s.recover(want)
	})
	for c, err := range harm {
		t.Errorf("%s: %v", r.tell(c), err)
	}
	t.Logf("%d power cuts in a life of %s", len(cuts), r)
	return int64(len(cuts))
}

// The test above sees a relinkd that does not sync.
func TestPowerCutSeesMissingSyncs(t *testing.T) {
	needDisks(t)
	s := newSite(t, buildRelinkd(t), config.PublishSymlink)
	s.relinkd = append([]string{"/proc/self/exe"}, s.relinkd...)
	s.environment = []string{roleVariable + "=" + roleNoSyncs}
	r := s.recordLife(kinds[0])
	harm := r.fail(t, r.choose(cutsPerPhase, rand.New(rand.NewPCG(4, 2))), s.examine)
	if len(harm) == 0 {
		t.Error("relinkd syncs nothing, and no power cut has done harm: the test looks at the wrong things")
	}
	for c, err := range harm {
		t.Logf("without syncs, %s: %v", r.tell(c), err)
	}
}

func buildRelinkd(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "relinkd")
	if out, err := exec.Command("go", "build", "-o", binary, "relinkd/cmd/relinkd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// recordLife records a life on a disk of its own, which stays ejected.
func (s *site) recordLife(kind fsKind) *recording {
	s.t.Helper()
	if _, err := exec.LookPath(kind.mkfs[0]); err != nil {
		s.t.Skipf("left out: %v", err)
	}
	d := newDisk(s.t, kind, s.point, s.directories)
	alone := crowd(s.t, s.point)
	h := s.live(d)
	alone()
	r := &recording{disk: d, history: h}
	r.events, r.ends = d.eject(s.t)
	return r
}
