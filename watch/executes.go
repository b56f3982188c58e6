package watch

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

// execution is whether an ordinary user can execute what services do: path or, where path is left alone,
// the private link.
type execution struct {
	ok     bool
	reason string // why not
	try    string // what may help; "" when that is not known

	of     fsys.Info // the file that the kernel was asked about
	asked  time.Time // when
	looked bool      // in this round of Ensure
	since  time.Time // since when it does not execute
	told   bool      // that it does not
}

const (
	// askAgain is for how long the kernel's word on a file that has not changed is good: a security module
	// that is asked (fapolicyd) may take its time, and may change its mind.
	askAgain = 5 * time.Second
	// tellAfter is how long what services execute may be lacking before the journal has it: an installer
	// removes it and makes it again, and relinkd puts it back sooner.
	tellAfter = 500 * time.Millisecond
)

// executed is the name that services execute.
func (t *target) executed() string {
	if t.cfg.Publish != config.PublishNone || t.linked == "" && t.current == 0 && lacks(linker.PrivateLink(t.cfg.Path)) {
		return t.cfg.Path
	}
	return linker.PrivateLink(t.cfg.Path)
}

// lacks reports whether nothing stands at path.
func lacks(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}

// checkExecutes finds out whether an ordinary user can execute what services do. The error says why not.
func (t *target) checkExecutes() error {
	t.exec.looked = true
	name := t.executed()
	err := t.checkExecutable(name)
	// The launcher at path executes the private link.
	if link := linker.PrivateLink(t.cfg.Path); err == nil && name != link && t.launches() {
		err = t.checkExecutable(link)
	}
	t.exec.ok, t.exec.reason, t.exec.try = err == nil, "", ""
	if err == nil {
		return nil
	}
	what := err.Error()
	if shut := (*fsys.AccessError)(nil); errors.As(err, &shut) {
		what, t.exec.try = shut.What, shut.Try
	}
	t.exec.reason = fmt.Sprintf("%s does not execute: %s", name, what)
	return errors.New(t.exec.reason)
}

// launches reports whether a launcher of ours stands at path.
func (t *target) launches() bool {
	if t.cfg.Publish != config.PublishLauncher || t.link == nil || t.current == 0 {
		return false
	}
	at, err := t.link.Look()
	return err == nil && at.Kind == linker.Ours
}

// checkExecutable reports why no ordinary user can execute the file name.
func (t *target) checkExecutable(name string) error {
	if err := fsys.CheckExecutableByOthers(name); err != nil {
		return plainErrno(err)
	}
	// The way by the kernel itself: a file system may be mounted so that no link is followed.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return plainErrno(err)
	}
	defer f.Close()
	info, err := fsys.Fstat(f)
	if err != nil {
		return plainErrno(err)
	}
	if info == t.exec.of && time.Since(t.exec.asked) < askAgain {
		return nil
	}
	if err := pool.Executable(f); err != nil {
		return err
	}
	t.exec.of, t.exec.asked = info, time.Now()
	return nil
}

// plainErrno is err without the name that goes ahead of it.
func plainErrno(err error) error {
	failed := (*fsys.Error)(nil)
	path := (*os.PathError)(nil)
	switch {
	case errors.As(err, &failed):
		err = fmt.Errorf("%s: %w", failed.Path, failed.Err)
	case errors.As(err, &path):
		err = fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	switch {
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: links lead to each other, or the file system is mounted nosymfollow", err)
	default:
		return err
	}
}

// tellExecutes ends a round of Ensure: whatever came of it, whether services can execute what they do is
// known, shown and, when that is news, told. It returns when to look again for that alone, 0 for no need.
func (t *target) tellExecutes(now time.Time) time.Duration {
	if !t.exec.looked {
		_ = t.checkExecutes() // kept in exec
	}
	t.exec.looked = false
	if !t.active {
		return 0
	}
	if t.exec.ok || t.status == api.Released || t.status == api.Absent {
		if t.exec.told && t.exec.ok {
			t.did(repair("executes", ""), "%s executes again, after %s", t.executed(), now.Sub(t.exec.since).Round(time.Millisecond))
		}
		t.exec.since, t.exec.told = time.Time{}, false
		return 0
	}
	if t.exec.since.IsZero() {
		t.exec.since = now
	}
	if t.exec.told {
		return 0
	}
	if left := tellAfter - now.Sub(t.exec.since); left > 0 {
		return left
	}
	t.exec.told = true
	what := t.exec.reason
	if t.exec.try != "" {
		what += "; try: " + t.exec.try
	}
	t.wrong(zerolog.ErrorLevel, what, "no service can start it")
	return 0
}
