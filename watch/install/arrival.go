package install

import (
	"fmt"
	"os"
	"time"

	"relinkd/fsys"
)

// drain is how long after a Create event its file is left alone: inotify reports a file that is
// renamed to path and one that is opened there for writing alike, and the first write of the
// latter follows within microseconds.
const drain = 10 * time.Millisecond

// arrival tells a file that came to path whole, by a rename or a link, from one that is written
// there. It knows no clock and no file: both are told to it.
type arrival struct {
	quiet, max time.Duration

	file    fsys.Info // what stood at path when its last Create event was read; zero: unknown
	came    time.Time // when that was
	written bool      // signs of writing were seen since

	last  time.Time // the last sign of writing
	again time.Time // found incomplete: not to be looked at before

	since  time.Time // since when path has been unsettled without a file being taken
	active time.Time // when that was last confirmed
}

// created takes note of a Create event; file is what stood at path then.
func (a *arrival) created(file fsys.Info, now time.Time) {
	a.file, a.came, a.written, a.again = file, now, false, time.Time{}
}

// wrote takes note of a Write event.
func (a *arrival) wrote(now time.Time) {
	a.written = true
	a.last = now
	a.unsettled(now)
}

// incomplete takes note that the file was found incomplete, and returns how long to leave it alone.
func (a *arrival) incomplete(now time.Time) time.Duration {
	a.wrote(now)
	a.again = now.Add(max(a.quiet, drain))
	return a.again.Sub(now)
}

// doubt takes back that file came whole: there was no way to ask for its writers.
func (a *arrival) doubt() { a.written = true }

// taken takes note that the file at path was found complete.
func (a *arrival) taken() { a.since, a.again = time.Time{}, time.Time{} }

// unsettled keeps the start of an uninterrupted time of writing, whatever files it concerned.
func (a *arrival) unsettled(now time.Time) {
	if a.since.IsZero() || now.Sub(a.active) > a.max {
		a.since = now
	}
	a.active = now
}

// whole reports whether file came to path whole and was left alone since.
func (a *arrival) whole(file fsys.Info) bool {
	return !a.written && !a.file.IsZero() && a.file.SameContent(file)
}

// wait is how long to leave file, which stands at path, alone; 0 when it may be taken.
func (a *arrival) wait(file fsys.Info, now time.Time) time.Duration {
	if now.Before(a.again) {
		return a.again.Sub(now)
	}
	if a.whole(file) {
		return max(0, a.came.Add(drain).Sub(now))
	}
	last := a.last
	for _, ns := range []int64{file.Mtime, file.Ctime} {
		// A time to come is no sign of anything but a wrong clock or an odd package.
		if t := time.Unix(0, ns); !t.After(now) && t.After(last) {
			last = t
		}
	}
	due := last.Add(a.quiet)
	if !due.After(now) {
		return 0
	}
	a.unsettled(now)
	if limit := a.since.Add(a.max); limit.Before(due) {
		due = limit
	}
	return max(0, due.Sub(now))
}

// Arrival judges f, an open file which is not ours and stands at path.
//   - 0, nil: a complete source. Take it.
//   - a wait and an error of kind ErrIncomplete: it is being written. Ask again after the wait, or
//     when C receives.
//   - 0 and another error: refused; the error says why and what to try. Ask again when C receives.
//
// A file that came by a rename is taken at once; one that is being written must have been quiet
// for Options.Quiet, or for Options.Max have been written again and again and be complete now.
func (w *Watcher) Arrival(f *os.File, now time.Time) (time.Duration, error) {
	file, err := fsys.Fstat(f)
	if err != nil {
		return 0, err
	}
	w.NotePresent(true)
	w.mu.Lock()
	wait := w.arrival.wait(file, now)
	w.mu.Unlock()
	if wait > 0 {
		return wait, settling(f)
	}

	leased, err := complete(f, file, w.dir)

	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case isIncomplete(err):
		return w.arrival.incomplete(now), err
	case err != nil:
		return 0, err
	case !leased && w.arrival.whole(file):
		w.arrival.doubt()
		if wait := w.arrival.wait(file, now); wait > 0 {
			return wait, settling(f)
		}
	}
	w.arrival.taken()
	w.dpkg.Forget()
	poke(w.learn)
	return 0, nil
}

// settling is the error of a file that must rest first.
func settling(f *os.File) error {
	return fmt.Errorf("%s: %w: it was changed a moment ago", f.Name(), ErrIncomplete)
}
