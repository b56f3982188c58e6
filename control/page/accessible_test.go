package page

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"relinkd/api"
)

// axe is the source of axe-core, in the version that testdata names. npm fetches it, and it is no part of
// the program.
func axe(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("left out: there is no npm here to fetch axe-core with: install Debian's package of that name")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/axe")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("left out: axe-core cannot be fetched: npm: %v\n%s", err, out)
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// accessible has axe-core look at a page that has everything on it. A theme changes the colours and a width
// the layout, so two looks see all of them.
func accessible(t *testing.T, b context.Context) {
	source := axe(t)
	status := troubled()
	for i := range status.Targets { // axe takes its time for each cell, and many are alike
		t := &status.Targets[i]
		t.Copies = slices.DeleteFunc(t.Copies, func(c api.CopyStatus) bool { return c.Number%5 != 0 && c.Number != 4 })
	}
	d := startDaemon(t, status, history(35)...)
	for theme, width := range map[string]int64{"light": 360, "dark": 1600} {
		p := open(t, b, d.url(), width, "prefers-color-scheme", theme, "prefers-reduced-motion", "reduce")
		p.says("#link", "live")
		p.await(`document.querySelectorAll("#log > li").length > 0 && document.querySelectorAll(".cell").length > 0`)
		is[bool](p, source+"\n;true")
		found := is[struct {
			Passes     int
			Violations []string
		}](p, `axe.run({ resultTypes: ["violations"] }).then((r) => ({
			Passes: r.passes.length,
			Violations: r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html + " " + n.failureSummary).join("; ")),
		}))`)
		for _, v := range found.Violations {
			t.Errorf("%s, %d wide: %s", theme, width, v)
		}
		if found.Passes < 20 {
			t.Errorf("%s, %d wide: axe has found %d rules kept only: this test looks at the wrong things", theme, width, found.Passes)
		}
	}
}

// The steps of the heat map can be told apart by whoever sees all colours, or lacks one kind of cone or
// all; and what stands on each can be read.
func colours(t *testing.T, b context.Context) {
	const (
		apart = 8.0 // CIE76: some 2.3 can just be seen side by side
		read  = 4.5 // WCAG 2, AA
	)
	for _, theme := range []string{"light", "dark"} {
		d := startDaemon(t, sample(3))
		p := open(t, b, d.url(), 1000, "prefers-color-scheme", theme, "prefers-reduced-motion", "reduce")
		p.await(`document.querySelectorAll(".legend [data-step]").length === 7`)
		steps := is[[]struct {
			Step           string
			Ground, Letter [3]float64
		}](p, `[...document.querySelectorAll(".legend [data-step]")].map((s) => {
			const rgb = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);
			const style = getComputedStyle(s);
			return { Step: s.dataset.step, Ground: rgb(style.backgroundColor), Letter: rgb(style.color) };
		})`)
		for i, s := range steps {
			if got := contrast(s.Ground, s.Letter); got < read {
				t.Errorf("%s: step %s: text has a contrast of %.2f", theme, s.Step, got)
			}
			for _, other := range steps[:i] {
				for eye, matrix := range eyes {
					if got := difference(seen(matrix, s.Ground), seen(matrix, other.Ground)); got < apart {
						t.Errorf("%s, %s: steps %s and %s differ by %.1f", theme, eye, other.Step, s.Step, got)
					}
				}
			}
		}
	}
}

// eyes is how linear light is seen: with all cones, and without one kind of them (Machado, Oliveira,
// Fernandes 2009, severity 1).
var eyes = map[string][3][3]float64{
	"all cones":    {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

// linear is an sRGB colour of 0 to 255 as light of 0 to 1.
func linear(c [3]float64) (l [3]float64) {
	for i, v := range c {
		if v /= 255; v <= 0.04045 {
			l[i] = v / 12.92
		} else {
			l[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return l
}

// seen is a colour as light that reaches such eyes.
func seen(matrix [3][3]float64, c [3]float64) (l [3]float64) {
	light := linear(c)
	for i := range l {
		for j := range light {
			l[i] += matrix[i][j] * light[j]
		}
		l[i] = min(1, max(0, l[i]))
	}
	return l
}

// contrast is that of WCAG 2.
func contrast(a, b [3]float64) float64 {
	luminance := func(c [3]float64) float64 {
		l := linear(c)
		return 0.2126*l[0] + 0.7152*l[1] + 0.0722*l[2]
	}
	high, low := luminance(a), luminance(b)
	if low > high {
		high, low = low, high
	}
	return (high + 0.05) / (low + 0.05)
}

// difference is how far two lights are apart in CIELAB.
func difference(a, b [3]float64) float64 {
	x, y := lab(a), lab(b)
	return math.Hypot(math.Hypot(x[0]-y[0], x[1]-y[1]), x[2]-y[2])
}

func lab(l [3]float64) [3]float64 {
	f := func(t float64) float64 {
		if t > 216.0/24389 {
			return math.Cbrt(t)
		}
		return (24389.0/27*t + 16) / 116
	}
	x := f((0.4124*l[0] + 0.3576*l[1] + 0.1805*l[2]) / 0.95047)
	y := f(0.2126*l[0] + 0.7152*l[1] + 0.0722*l[2])
	z := f((0.0193*l[0] + 0.1192*l[1] + 0.9505*l[2]) / 1.08883)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}
