package console

import (
	"fmt"
	"strings"

	"relinkd/api"
)

// Plan is p for people: for each target what would change, in order, what that means for others, and
// what would not change.
func (s Screen) Plan(p *api.Plan) string {
	var b strings.Builder
	for i, t := range p.Targets {
		if i > 0 {
			b.WriteByte('\n')
		}
		s.targetPlan(&b, &t)
	}
	if p.Changes() {
		b.WriteByte('\n')
		s.hang(&b, "", "Nothing has been changed. A running daemon does this by itself; without one `relinkd run` does, "+
			"or `relinkd manage TARGET`.", Dim)
	}
	return b.String()
}

// TakeOver is, for people, what managing a target would do, before they are asked whether it should be.
func (s Screen) TakeOver(p *api.TargetPlan) string {
	var b strings.Builder
	s.targetPlan(&b, p)
	return b.String()
}

func (s Screen) targetPlan(b *strings.Builder, t *api.TargetPlan) {
	title := fmt.Sprintf("nothing to do (%s)", t.State)
	tone := StateTone(t.State)
	if len(t.Steps) > 0 {
		title, tone = count(len(t.Steps), "step"), Busy
	}
	b.WriteString(s.Paint(s.Clean(t.Target), Strong) + ": " + s.Paint(title, tone) + "\n")
	for i, step := range t.Steps {
		s.hang(b, fmt.Sprintf("%3d. ", i+1), s.Clean(step), Plain)
	}
	s.points(b, "What comes of it:", t.Effects)
	if len(t.Steps) == 0 {
		s.points(b, "", t.Keeps)
	} else {
		s.points(b, "What stays as it is:", t.Keeps)
	}
}

// points lists texts below a heading.
func (s Screen) points(b *strings.Builder, heading string, texts []string) {
	if len(texts) == 0 {
		return
	}
	if heading != "" {
		b.WriteString("  " + s.Paint(heading, Strong) + "\n")
	}
	for _, text := range texts {
		s.hang(b, "   "+s.Paint(s.Glyphs().Bullet, Dim)+" ", s.Clean(text), Plain)
	}
}
