package linker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
)

// The size of an upgrade race.
const (
	raceUpgrades = 10_000 // half of them against a symbolic link, half against a launcher
	raceBurst    = 100    // upgrades to a pause, on average
	raceRounds   = 20     // at most, until the race has met what it is about: once, as a rule
)

// TestUpgradeRace has a package manager rename new versions over path as fast as it can while our link
// is published and rotated as fast as that goes, and path restored now and then. No version is
// destroyed but by the next one; each that is in place when the package manager pauses becomes the
// pristine, and nothing stays hidden.
func TestUpgradeRace(t *testing.T) {
	eachForm(t, func(t *testing.T, dir string, form Form) {
		upgrades := raceUpgrades / 2
		if !inMemory(t) && os.Getenv(envLong) != "1" {
			upgrades /= 10 // most of the time would be waiting for the disk
		}
		r := newUpgradeRace(t, dir, form, nil)
		for n := upgrades; r.raced == 0 && n <= raceRounds*upgrades && !t.Failed(); n += upgrades {
			for _, lost := range r.run(n) {
				t.Error(lost)
			}
		}
		if r.raced == 0 {
			t.Error("no publish met a newer file: this proves nothing")
		}
	})
	faults.Record(t, faults.Row{
		What:     "publish, rotate and restore as fast as they go",
		Injected: "a package manager that upgrades as fast as it can, and pauses some 100 times",
		Times:    raceUpgrades,
		Survived: "each version in place at a pause is adopted, none is destroyed, none stays hidden",
	})
}

// TestUpgradeRaceSeesRename proves that TestUpgradeRace sees the race: with a look and a plain rename
// in the place of the exchange, as on a file system without it, versions are lost.
func TestUpgradeRaceSeesRename(t *testing.T) {
	r := newUpgradeRace(t, t.TempDir(), Symlink, plain(true))
	lost := r.run(raceRounds * raceUpgrades) // the first that is lost ends it
	if len(lost) == 0 {
		t.Fatal("a plain rename has lost no version")
	}
	t.Logf("a plain rename has lost %d versions of %d: %v …", len(lost), r.number, lost[0])
}

// upgradeRace is a package manager and a Link at one path.
type upgradeRace struct {
	s *site
	l *Link

	// Of the package manager.
	number int      // of the version in place
	held   *os.File // that version: it has no name any more when somebody destroys it
	lost   []error

	// Of the Link.
	published, raced, rotated, restored int
}

func newUpgradeRace(t *testing.T, dir string, form Form, fs *fsys.FS) *upgradeRace {
	s := newSiteOf(t, dir, form)
	r := &upgradeRace{s: s, l: s.open(fs)}
	t.Cleanup(func() {
		r.l.Close()
		if r.held != nil {
			r.held.Close()
		}
	})
	return r
}

// run is the race of so many upgrades. It ends at the first pause at which something was lost or
// stays hidden, and returns that.
func (r *upgradeRace) run(upgrades int) []error {
	t := r.s.t
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pauses := 0
	for r.number < upgrades && len(r.lost) == 0 {
		burst := min(upgrades-r.number, 1+random.IntN(2*raceBurst))
		paused := make(chan error, 1)
		go func() { paused <- r.upgrades(burst) }()
		for racing := true; racing; {
			select {
			case err := <-paused:
				must(t, err)
				racing = false
			default:
			}
			r.act()
		}
		r.settle()
		pauses++
	}
	t.Logf("%d upgrades with %d pauses against %d publishes, %d more that met a newer file, %d rotations, %d restores",
		r.number, pauses, r.published, r.raced, r.rotated, r.restored)
	return r.lost
}

// upgrades puts so many versions in place, one over the other.
func (r *upgradeRace) upgrades(n int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	temporary := r.s.path + ".dpkg-new"
	for range n {
		if err := os.WriteFile(temporary, standin.ELF(fmt.Sprint(r.number+1)), 0o755); err != nil {
			return err
		}
		f, err := os.Open(temporary)
		if err != nil {
			return err
		}
		r.check()
		if err := os.Rename(temporary, r.s.path); err != nil {
			return err
		}
		if r.held != nil {
			r.held.Close()
		}
		r.number, r.held = r.number+1, f
	}
	return nil
}

// check notes whether the version in place was destroyed.
func (r *upgradeRace) check() {
	if r.held == nil {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(r.held.Fd()), &st); err != nil || st.Nlink == 0 {
		r.lost = append(r.lost, fmt.Errorf("version %d is destroyed (%v)", r.number, err))
	}
}

// act does what can be done about path as it stands.
func (r *upgradeRace) act() {
	t := r.s.t
	at, err := r.l.Look()
	must(t, err)
	switch {
	case at.Kind == File:
		r.rotate()
		err := r.l.Publish(at.Info)
		if err == nil {
			r.published++
		} else if r.raced++; !errors.Is(err, ErrSuperseded) {
			t.Fatal(err)
		}
	case r.published%7 == 0:
		r.restored++
		if _, err := r.l.Restore(); err != nil {
			t.Fatal(err)
		}
	default:
		r.rotate()
	}
}

func (r *upgradeRace) rotate() {
	must(r.s.t, r.l.Rotate(r.rotated%copies+1))
	r.rotated++
}

// settle publishes what the package manager has left, and checks it.
func (r *upgradeRace) settle() {
	t := r.s.t
	for at := (Standing{Kind: File}); at.Kind == File; {
		var err error
		at, err = r.l.Look()
		must(t, err)
		if at.Kind == File {
			r.rotate()
			must(t, r.l.Publish(at.Info))
			r.published++
		}
	}
	r.check()
	want, err := fsys.Fstat(r.held)
	must(t, err)
	private := r.s.names(filepath.Join(r.s.dir, PrivateDir))
	if got := r.s.lstat(r.s.private(suffixPristine)); got.ID != want.ID {
		r.lost = append(r.lost, fmt.Errorf("version %d was in place at a pause, and is not the pristine: there are %q", r.number, private))
	}
	for _, name := range private {
		if name != target && name != target+suffixPristine && name != target+suffixPrevious && !strings.HasPrefix(name, target+suffixGeneration) {
			r.lost = append(r.lost, fmt.Errorf("with version %d, %s is left", r.number, name))
		}
	}
}
