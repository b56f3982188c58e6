package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/pool"
)

// A target that left the configuration while no daemon ran, or whose path was changed there, still has
// path led to its copies. The state directory knows it: it is told of everywhere, and restored as a reload
// would have done.

// leftMark comes between the name that such a target had and what tells it from the one that has the name
// now. No configured target has it in its name.
const leftMark = "~"

// Left is the targets that the state directory of cfg knows and cfg does not name, as Status lists them.
// It changes nothing.
func Left(cfg *config.Config) ([]config.Target, error) {
	dir, err := fsys.OpenDir(cfg.State.Dir, nil)
	if fsys.NotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	left, _, err := findLeft(dir, cfg)
	return left, err
}

// renamed is a target that has another name now.
type renamed struct{ from, to string }

// findLeft reads the manifests. A target whose path is configured under another name has not left.
func findLeft(dir *fsys.Dir, cfg *config.Config) (left []config.Target, others []renamed, err error) {
	names, err := pool.ManifestTargets(dir)
	if fsys.NotExist(err) { // no relinkd has managed anything yet
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		m, err := pool.LoadManifest(dir, name)
		if err != nil || m.Path == "" {
			continue // of no use, of which its target's loop tells
		}
		now := slices.IndexFunc(cfg.Targets, func(t config.Target) bool { return t.Path == m.Path })
		switch {
		case now < 0:
			left = append(left, leftTarget(cfg, name, m))
		case cfg.Targets[now].Name != name:
			others = append(others, renamed{name, cfg.Targets[now].Name})
		}
	}
	return left, others, nil
}

// leftTarget is the target called name of which m tells. Settings that count for what is managed are at
// values that do no harm.
func leftTarget(cfg *config.Config, name string, m *pool.Manifest) config.Target {
	if _, taken := cfg.Target(name); taken {
		sum := sha256.Sum256([]byte(m.Path))
		name += leftMark + hex.EncodeToString(sum[:4])
	}
	publish := config.Publish(m.Publish)
	if publish == "" { // of a version that did not write it down
		publish = config.PublishSymlink
	}
	return config.Target{
		Name: name, Path: m.Path, Publish: publish, Copies: 1, MaxCopies: pool.MaxCopies, Threshold: 1 << 30,
		RotateAt: 1, Rotation: config.RotationAdaptive, Settle: config.Settle{Quiet: time.Second, Max: 30 * time.Second},
	}
}

// leaveReason says of a target that has left why it is there.
func leaveReason(path string) string {
	return fmt.Sprintf("the configuration no longer names %s, which still leads to relinkd's copies", path)
}

// keepLeft finds the targets that have left, and gives the manifests names under which no configured
// target overwrites them.
func (w *Watcher) keepLeft(cfg *config.Config) {
	left, others, err := findLeft(w.state, cfg)
	if err != nil {
		w.log.Warn().Err(err).Msg("it cannot be told which targets have left the configuration")
		return
	}
	for _, r := range others {
		if err := pool.RenameManifest(w.state, r.from, r.to); err != nil { // it is as good as none: the copies tell of themselves
			w.log.Warn().Err(errors.Join(err, pool.ForgetManifest(w.state, r.from))).Msg("what is known of a target that has another name now is not used")
			continue
		}
		w.log.Info().Msgf("target %s is called %s now", r.from, r.to)
	}
	for _, t := range left {
		before, _, is := strings.Cut(t.Name, leftMark)
		if _, taken := cfg.Target(before); is && taken {
			if m, err := pool.LoadManifest(w.state, before); err == nil && m.Path == t.Path {
				if err := pool.RenameManifest(w.state, before, t.Name); err != nil {
					w.log.Error().Err(err).Msgf("%s: restore it with the former configuration", leaveReason(t.Path))
					continue
				}
			}
		}
		w.left = append(w.left, t)
	}
}

// depart is ensure for a target that has left the configuration.
func (t *target) depart() time.Duration {
	if now := time.Now(); now.Before(t.retry.until) {
		return t.retry.until.Sub(now)
	}
	if err := t.open(); isAbsent(err) {
		t.become(api.Absent, fmt.Sprintf("%s: %v; try: relinkd restore %s", leaveReason(t.cfg.Path), err, t.name))
		return 10 * time.Second
	}
	if _, err := t.leaveForGood(); err != nil {
		t.failed(fmt.Errorf("%s: %w; try: relinkd restore %s", leaveReason(t.cfg.Path), err, t.name))
		return time.Until(t.retry.until)
	}
	return 0
}

// leaveForGood restores path, and nothing is known of the target any more.
func (t *target) leaveForGood() (*api.Report, error) {
	r, err := t.leaveTarget()
	if err == nil {
		err = t.forgetManifest() // also of one of which nothing was left
	}
	t.hasLeft = err == nil
	return r, err
}

// ended takes a target that has left, and is restored, out of what is told.
func (w *Watcher) ended(l *loop) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.loops[l.name] == l {
		delete(w.loops, l.name)
	}
	w.left = slices.DeleteFunc(w.left, func(t config.Target) bool { return t.Name == l.name })
}

// takeBack ends the leaving of targets whose paths cfg names again.
func (w *Watcher) takeBack(cfg *config.Config) {
	w.mu.Lock()
	left := slices.Clone(w.left)
	w.mu.Unlock()
	for _, t := range left {
		now := slices.IndexFunc(cfg.Targets, func(c config.Target) bool { return c.Path == t.Path })
		if now < 0 {
			continue
		}
		w.mu.Lock()
		l := w.loops[t.Name]
		w.mu.Unlock()
		if l != nil {
			l.end()
			w.ended(l)
		}
		if err := pool.RenameManifest(w.state, t.Name, cfg.Targets[now].Name); err != nil {
			w.log.Warn().Err(err).Msg("what is known of a target that is configured again is not used")
		}
	}
}
