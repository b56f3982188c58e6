package watch

import (
	"context"
	"fmt"
	"time"
)

// lateCensus is how long after its time a census may begin before the counts are not worth having: a
// machine under load takes them late, one that hangs not at all.
const lateCensus = 30 * time.Second

// Answer returns nil when the loop of every target has come round since it was called, and censuses are
// taken when they are due. An error says what does not answer before ctx ends. It is for the watchdog: a
// process that lives is not one that works.
func (w *Watcher) Answer(ctx context.Context) error {
	w.mu.Lock()
	loops := w.all()
	w.mu.Unlock()
	for _, l := range loops {
		if err := l.do(ctx, l.gone, func() {}); err != nil && ctx.Err() != nil {
			return fmt.Errorf("the loop of %s does not answer: %w", l.name, context.Cause(ctx))
		}
	}
	if late := w.table.Late(); late > lateCensus {
		return fmt.Errorf("a census is %v late", late.Round(time.Second))
	}
	return nil
}
