package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"relinkd/api"
	"relinkd/fsys"
	"relinkd/internal/standin"
)

// When the acts begin, as shares of the whole time.
const (
	upgradeAt  = 0.4
	deletionAt = 0.7
)

// patience is how long relinkd may take for one act before that counts as a failure.
const patience = 15 * time.Second

// client is what the demonstration asks of relinkd, over its socket.
type client interface {
	Status(ctx context.Context) (*api.Status, error)
	Restore(ctx context.Context, target string, force bool) (*api.Report, error)
}

// play is one performance: the acts one after another, under the load of the master.
type play struct {
	*scratch
	client client
	master *master
	length time.Duration
	begun  time.Time

	upgraded time.Time // when the new version was put at path
	packaged fsys.ID   // the file of the new version

	mu     sync.Mutex
	events []event
}

// event is something that the spectator is told.
type event struct {
	at   time.Duration // since the beginning
	text string
}

// awaitManaged waits until relinkd has taken the path over.
func (p *play) awaitManaged(ctx context.Context) error {
	last := "it does not answer"
	managed := func() bool {
		t, err := p.status(ctx)
		if err != nil {
			last = err.Error()
			return false
		}
		last = fmt.Sprintf("its state is %s: %s", t.State, t.Reason)
		return t.State == api.Steady
	}
	if err := await(ctx, 20*time.Millisecond, managed); err != nil {
		return fmt.Errorf("relinkd did not take over %s: %w; %s", p.path, err, last)
	}
	return nil
}

// acts performs upgrade, deletion and restore in their turn, up to the end of the time. What
// relinkd does wrong goes into the summary's problems; an error means that the play cannot go on.
func (p *play) acts(ctx context.Context) (*Summary, error) {
	s := &Summary{Threshold: threshold}
	for _, act := range []struct {
		at   float64
		play func(context.Context, *Summary) error
	}{
		{upgradeAt, p.upgrade},
		{deletionAt, p.delete},
		{1, p.restore},
	} {
		if err := p.reach(ctx, act.at); err != nil {
			return nil, err
		}
		if err := act.play(ctx, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// upgrade puts the next version at path as dpkg does, written beside it and renamed over it, and
// waits until all copies are of that version and the path leads to them.
func (p *play) upgrade(ctx context.Context, s *Summary) error {
	next := p.path + ".dpkg-new"
	if err := standin.Write(next, "2"); err != nil {
		return err
	}
	var err error
	if p.packaged, err = identify(next); err != nil {
		return err
	}
	before, err := p.status(ctx)
	if err != nil {
		return err
	}
	p.say("upgrade: a new version is put at the path, as dpkg does")
	p.upgraded = time.Now()
	if err := os.Rename(next, p.path); err != nil {
		return fmt.Errorf("cannot upgrade: %v", err)
	}
	published := func() bool {
		t, err := p.status(ctx)
		return err == nil && t.State == api.Steady && t.Generation.SHA256 != before.Generation.SHA256
	}
	if err := await(ctx, 2*time.Millisecond, published); errors.Is(err, errLate) {
		s.problem("relinkd did not publish the upgrade: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	s.UpgradeMS = milliseconds(time.Since(p.upgraded))
	p.master.retire(standin.ELF("1"))
	p.say("upgrade: all copies made anew and published, after %.1f ms", s.UpgradeMS)
	return nil
}

// delete removes what stands at path and waits until something stands there again.
func (p *play) delete(ctx context.Context, s *Summary) error {
	p.say("deletion: the link is removed")
	p.master.deleting()
	removed := time.Now()
	if err := os.Remove(p.path); err != nil {
		return fmt.Errorf("cannot delete the link: %v", err)
	}
	back := func() bool {
		_, err := os.Lstat(p.path)
		return err == nil
	}
	if err := await(ctx, time.Millisecond, back); errors.Is(err, errLate) {
		s.problem("relinkd did not put the deleted link back: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	s.DeletionRepairMS = milliseconds(time.Since(removed))
	p.master.back()
	p.say("deletion: the link is back, after %.1f ms", s.DeletionRepairMS)
	return nil
}

// restore notes what relinkd says at the end, has it restore under the load, and looks at what it
// left.
func (p *play) restore(ctx context.Context, s *Summary) error {
	t, err := p.status(ctx)
	if err != nil {
		return err
	}
	s.Seconds = time.Since(p.begun).Seconds()
	s.Rotations = t.Rotations
	s.Copies = len(t.Copies)
	s.HighestCopyReported = t.PeakCopyProcesses
	s.HighestCopy = p.master.tally().highest // from now on all run the one packaged file
	if first := p.master.firstRun(standin.ELF("2")); !first.IsZero() {
		s.FirstNewSpawnMS = milliseconds(first.Sub(p.upgraded))
	} else {
		s.problem("no process of the new version was seen")
	}

	restoring, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := p.client.Restore(restoring, target, false); err != nil {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		s.problem("relinkd did not restore: %v", err)
		return nil
	}
	s.RestoredInode = p.packaged.Ino
	if err := p.restored(); err != nil {
		s.problem("after the restore %v", err)
		return nil
	}
	s.Restored = true
	return nil
}

// restored says what differs from a directory in which relinkd never was.
func (p *play) restored() error {
	id, err := identify(p.path)
	if err != nil {
		return err
	}
	if id != p.packaged {
		return fmt.Errorf("%s is not the packaged file, inode %d, but inode %d", p.path, p.packaged.Ino, id.Ino)
	}
	content, err := os.ReadFile(p.path)
	if err != nil {
		return err
	}
	if !bytes.Equal(content, standin.ELF("2")) {
		return fmt.Errorf("%s does not hold the new version", p.path)
	}
	entries, err := os.ReadDir(p.bin)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != target {
			return fmt.Errorf("%s is left over", filepath.Join(p.bin, e.Name()))
		}
	}
	return nil
}

// status asks relinkd about the one target.
func (p *play) status(ctx context.Context) (*api.TargetStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := p.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if len(st.Targets) != 1 {
		return nil, fmt.Errorf("relinkd reports %d targets, not one", len(st.Targets))
	}
	return &st.Targets[0], nil
}

// say tells the spectator.
func (p *play) say(format string, a ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, event{time.Since(p.begun), fmt.Sprintf(format, a...)})
}

// reach waits until that share of the whole time is over.
func (p *play) reach(ctx context.Context, share float64) error {
	t := time.NewTimer(time.Until(p.begun.Add(time.Duration(share * float64(p.length)))))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// errLate says that relinkd took longer than patience.
var errLate = fmt.Errorf("it has taken longer than %v", patience)

// await asks again and again until the answer is yes. It fails with errLate, or when ctx ends.
func await(ctx context.Context, every time.Duration, yes func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-late.C:
			return errLate
		case <-ctx.Done():
			return ended(ctx)
		}
	}
	return nil
}

// ended says why ctx did: relinkd is gone, or the user does not want to see more.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errors.New("the demonstration was interrupted before its end")
}

// identify returns the identity of the regular file at path.
func identify(path string) (fsys.ID, error) {
	dir, err := fsys.OpenDir(filepath.Dir(path), nil)
	if err != nil {
		return fsys.ID{}, err
	}
	defer dir.Close()
	info, err := dir.Lstat(filepath.Base(path))
	if err != nil {
		return fsys.ID{}, err
	}
	if !info.IsRegular() {
		return fsys.ID{}, fmt.Errorf("%s is not a regular file", path)
	}
	return info.ID, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
