package install

import (
	"context"
	"time"

	"relinkd/watch/pkgdb"
)

// relearn is how soon to look again while dpkg may still be writing its lists.
const relearn = time.Second

// keepLearning finds out which package names path, at every request and again while dpkg is at
// work: the list of a package is written after its files.
func (w *Watcher) keepLearning(ctx context.Context) {
	again := time.NewTimer(relearn)
	again.Stop() // it runs while dpkg does
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.learn:
		case <-again.C:
		}
		named, sure, err := w.dpkg.Learn(time.Now())
		if err != nil || named {
			continue // Removed reports the error when it matters
		}
		holder, _ := pkgdb.DpkgLocked(w.adminDir) // unreadable locks: the next census asks again
		if !sure || holder != "" {
			again.Reset(relearn)
		}
	}
}
