package watch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// One loop that hangs is told by its name, although the others and the rest of the daemon go on.
func TestAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	must(t, d.Answer(t.Context()))

	hangs, release := make(chan struct{}), make(chan struct{})
	l, err := d.find(name)
	must(t, err)
	go l.do(context.Background(), l.gone, func() { close(hangs); <-release })
	<-hangs
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = d.Answer(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the loop of "+name) {
		t.Errorf("with a loop that hangs: %v", err)
	}
	if _, err := d.Status(t.Context()); err != nil {
		t.Errorf("status: %v", err)
	}
	close(release)
	must(t, d.Answer(t.Context()))
}
