package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"relinkd/api"
	"relinkd/pool"
)

const upgradeLimit = 0.5 // seconds

// upgradeScript is what an administrator can do with inotify-tools: when a package manager has put
// a file at path, copy it again and put the link back. It neither syncs nor checks.
const upgradeScript = `inotifywait -m -e moved_to --format %f . | while read -r name; do
	[ "$name" = peersd ] && [ ! -L peersd ] || continue
	for n in $(seq -f %03g 60); do cp -p --remove-destination peersd "peersd_$n"; done
	ln -sfn peersd_001 peersd
done`

// measureUpgrade is the time from a new version at path until path leads to a copy of it.
func measureUpgrade(ctx context.Context, b *bench) ([]row, error) {
	s, err := newSite(b.disk, "upgrade", imapdSize)
	if err != nil {
		return nil, err
	}
	if err := s.configure("info", nil); err != nil {
		return nil, err
	}
	d, err := startDaemon(ctx, b, s)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	missing := b.tools.need("inotifywait", "cp", "sh")
	var shell *site
	if missing == nil {
		loop, err := startUpgradeLoop(ctx, b, &shell)
		if err != nil {
			return nil, err
		}
		defer loop.stop()
	}

	var ours, theirs series
	for round := 1; round <= b.rounds; round++ {
		version := fmt.Sprint("v", round)
		took, err := upgrade(ctx, s, version)
		if err != nil {
			return nil, fmt.Errorf("relinkd: %v; the end of its log:\n%s", err, d.said())
		}
		ours.addTime(took)
		// Nothing of it is to run on while the other one is measured.
		if err := d.await(ctx, "it is steady", func(t *api.TargetStatus) bool { return t.State == api.Steady }); err != nil {
			return nil, err
		}
		if missing != nil {
			continue
		}
		if took, err = upgrade(ctx, shell, version); err != nil {
			return nil, fmt.Errorf("the shell loop: %v", err)
		}
		theirs.addTime(took)
	}
	r := row{
		what:    fmt.Sprintf("upgrade: source in place to path published, %d copies of %d bytes; relinkd's are durable and checked", copies, imapdSize),
		relinkd: fmt.Sprintf("%s (longest %s)", duration(ours.median()), duration(ours.max())),
		peer:    "shell loop of inotifywait, cp, ln -sfn",
		limit:   fmt.Sprintf("≤ %g s", upgradeLimit),
		met:     verdict(ours.median() <= upgradeLimit),
	}
	if missing != nil {
		r.ratio = missing.Error()
	} else {
		r.peer += " " + duration(theirs.median())
		r.ratio = times(ours.over(theirs).median())
	}
	return []row{r}, nil
}

// startUpgradeLoop makes a site of its own and has the script look after it.
func startUpgradeLoop(ctx context.Context, b *bench, shell **site) (*child, error) {
	s, err := newSite(b.disk, "upgrade-shell", imapdSize)
	if err != nil {
		return nil, err
	}
	if err := s.makeCopies(); err != nil {
		return nil, err
	}
	if err := os.Remove(s.path); err != nil {
		return nil, fmt.Errorf("cannot link path: %v", err)
	}
	if err := os.Symlink(pool.CopyName(target, 1), s.path); err != nil {
		return nil, fmt.Errorf("cannot link path: %v", err)
	}
	c, err := startChild(s.log, s.bin, "sh", "-c", upgradeScript)
	if err != nil {
		return nil, err
	}
	watching := func() bool {
		log, err := os.ReadFile(s.log)
		return c.ended() || err == nil && bytes.Contains(log, []byte("Watches established"))
	}
	if err = await(ctx, b.grace, 20*time.Millisecond, "inotifywait watches", watching); err == nil && c.ended() {
		err = fmt.Errorf("it has ended: %s", c.said())
	}
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("the shell loop: %v", err)
	}
	*shell = s
	return c, nil
}

// upgrade puts a version at path and waits until path leads to it, looking once a millisecond.
func upgrade(ctx context.Context, s *site, version string) (time.Duration, error) {
	const patience = 30 * time.Second
	arrived, err := s.unpack(version, imapdSize)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := rename(arrived, s.path); err != nil {
		return 0, err
	}
	what := filepath.Base(s.path) + " leads to a copy of the new version"
	if err := await(ctx, patience, time.Millisecond, what, func() bool { return s.leads(version) }); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	return took, s.allCopies(version)
}
