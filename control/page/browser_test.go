package page

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"relinkd/api"
)

// TestPage shows the page in a real browser. One browser serves all parts: it is what takes the time.
func TestPage(t *testing.T) {
	b := browser(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, context.Context)
	}{
		{"live", live},
		{"with a daemon", withDaemon},
		{"reconnects", reconnects},
		{"tells what is wrong", tellsWhatIsWrong},
		{"targets come and go", targetsComeAndGo},
		{"fits", fits},
		{"keyboard", keyboard},
		{"events by kind", eventsByKind},
		{"theme is remembered", themeIsRemembered},
		{"without scripts", withoutScripts},
		{"reduced motion", reducedMotion},
		{"accessible", accessible},
		{"colours", colours},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, b) })
	}
}

// cell is an expression for the cell of a copy.
func cell(number int) string {
	return fmt.Sprintf(`document.querySelector("button.cell[data-number='%d']")`, number)
}

func live(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(4), history(6)...)
	p := open(t, b, d.url(), 1000)
	p.says("#link", "live")
	p.says("#headline", "All is well")
	p.says("#version", "1.2.3")
	p.says("#counting", "kernel's events")
	p.says("#findings", "imapd steady")
	p.says(".target .where", "/usr/lib/cyrus/bin/imapd, a symbolic link to /usr/lib/cyrus/bin/.relinkd/imapd")
	for name, want := range map[string]string{
		"Processes": "on 4 copies", "Stale": "41", "New": "12.5", "Seen after": "0.14 ms", "Rotations": "64 threshold, 2 operator",
		"Highest so far": "181", "Generation": "3f2a5c1be0d9", "Source": "0",
	} {
		p.await(fmt.Sprintf(`[...document.querySelectorAll(".totals > div")].some((d) => d.innerText.startsWith(%q) && d.innerText.includes(%q))`, name, want))
	}
	p.await(cell(2) + `.innerText.includes("27") && ` + cell(2) + `.getAttribute("aria-current") === "true"`)
	p.await(`document.querySelectorAll("#log > li").length === 6`)

	d.set(func(st *api.Status) {
		target := &st.Targets[0]
		target.Current, target.Rotations, target.RotationsByReason.Threshold = "imapd_003", 67, 65
		target.Copies[1].Processes, target.Copies[2].Processes, target.Copies[3].Processes = 180, 1, 201
		target.Copies[0].Verified = false
		target.Processes = 1234
	})
	d.happen(api.Event{ID: 7, Time: time.Now(), Target: "imapd", Kind: "rotation", Reason: "threshold", From: "imapd_002", To: "imapd_003", Message: "rotated"})
	p.await(cell(3) + `.getAttribute("aria-current") === "true" && ` + cell(3) + `.innerText.includes("►")`)
	p.await(`document.querySelectorAll("[aria-current]").length === 1`)
	p.await(cell(2) + `.innerText.includes("▲") && ` + cell(2) + `.dataset.step === "mark"`)
	p.await(cell(4) + `.innerText.includes("!") && ` + cell(4) + `.dataset.step === "over"`)
	p.await(cell(1) + `.classList.contains("unverified")`)
	p.says("#headline", "One thing needs attention")
	p.says("#findings", "over the threshold: 1 copy has more than 200 processes")
	p.says("#log > li:first-child", "imapd_002 → imapd_003")
	p.await(`document.title === "One thing needs attention – relinkd"`)
	processes := `document.querySelector(".chart.processes svg").getAttribute("aria-label")`
	p.await(processes + `.startsWith("Processes on copies: 1,234 now")`)
	d.set(func(st *api.Status) { st.Targets[0].Processes = 1200 })
	p.await(processes + `.startsWith("Processes on copies: 1,200 now")`)
	p.await(`document.querySelector(".chart.rotations svg").getAttribute("aria-label").startsWith("Rotations: 1 rotation in")`)
	p.await(`document.querySelector(".chart.rotations .bars").getAttribute("d") !== ""`)
	p.content(d.url())
}

func reconnects(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(4), history(6)...)
	p := open(t, b, d.url(), 1000)
	p.says("#link", "live")
	p.await(`document.querySelectorAll("#log > li").length === 6`)
	d.stop()
	p.await(`/^reconnecting since \d\d:\d\d:\d\d$/.test(document.querySelector("#link").innerText.trim())`)
	p.await(`document.body.classList.contains("old")`)
	since := is[string](p, `document.querySelector("#link").innerText`)

	// Another daemon comes, whose events have the numbers of those that were there before.
	d.events = []api.Event{{ID: 3, Time: time.Now(), Kind: "reload", Message: "begun anew"}}
	d.status.Targets[0].Rotations = 0
	d.set(func(st *api.Status) { st.Version = "1.3.0" })
	if got := is[string](p, `document.querySelector("#link").innerText`); got != since {
		t.Errorf("%s has become %s while nothing was there", since, got)
	}
	d.start()
	p.says("#link", "live")
	p.await(`!document.body.classList.contains("old")`)
	p.await(`document.querySelectorAll("#log > li").length === 1`)
	p.says("#log", "begun anew")
	p.says("#findings", "The daemon was upgraded: it is 1.3.0 now, this page 1.2.3")
	d.happen(api.Event{ID: 4, Time: time.Now(), Kind: "reload", Message: "and goes on"})
	p.says("#log > li:first-child", "and goes on")
	p.content(d.url())
}

func tellsWhatIsWrong(t *testing.T, b context.Context) {
	d := startDaemon(t, troubled())
	p := open(t, b, d.url(), 1000)
	p.says("#headline", "6 things need attention")
	// The worst comes first, with what to do about it.
	p.says("#findings > li:first-child", "Wrong: lmtpd degraded: cannot clone lmtpd_017: no space left on device Make room on the file system of /usr/lib/cyrus/bin")
	for _, want := range []string{
		"pop3d over the threshold: 16 copies", "pop3d saturated: no copy has room below the mark, and the pool has grown to max_copies (60)",
		"relinkd.toml:4: another", "relinkd check-config", "17 processes cannot be read", "Last error since the daemon's start: pop3d: cannot clone",
		"Counted by census alone: the kernel has not acknowledged", "Events were lost 2 times",
	} {
		p.says("#findings", want)
	}
	full := func(edit func(*api.TargetStatus)) {
		d.set(func(st *api.Status) {
			*st = saturated()
			st.Targets[0].UnseenProcesses = 9
			edit(&st.Targets[0])
		})
	}
	full(func(t *api.TargetStatus) {
		t.MaxCopies, t.GrowthReason = 240, "no room but what is to stay free (keep_free)"
	})
	p.says("#findings", "imapd saturated: no copy has room below the mark, and no more can be made: no room but what is to stay free (keep_free) Make room for copies")
	full(func(t *api.TargetStatus) { t.ThresholdReason = "events are lost" })
	p.says("#targets", "Threshold promised no events are lost")
	full(func(t *api.TargetStatus) { t.ThresholdPromised = true })
	p.says("#targets", "Threshold promised yes if no more than 9 start unseen")
	for state, want := range map[api.State]string{
		api.Starting: "Work is under way", api.Settling: "Work is under way", api.Cloning: "Work is under way", api.Steady: "All is well",
		api.Bypassed: "One thing needs attention", api.Released: "Nothing is managed", api.Absent: "Nothing is managed", api.Degraded: "One thing needs attention",
	} {
		d.set(func(st *api.Status) {
			*st = sample(3)
			st.Targets[0].State = state
		})
		p.says(".target .state", string(state))
		p.says("#headline", want)
		p.says("#findings", "imapd "+string(state))
	}
	p.content(d.url())
}

func targetsComeAndGo(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(3))
	p := open(t, b, d.url(), 1000)
	order := `[...document.querySelectorAll(".target h2")].map((h) => h.textContent).join(" ")`
	p.await(order + ` === "imapd"`)
	d.set(func(st *api.Status) { *st = troubled() })
	p.await(order + ` === "imapd lmtpd pop3d"`)
	d.set(func(st *api.Status) {
		*st = troubled()
		st.Targets = st.Targets[1:]
		st.Targets[0].Copies = append(st.Targets[0].Copies[:2], st.Targets[0].Copies[4:]...)
	})
	p.await(order + ` === "lmtpd pop3d"`)
	p.await(`[...document.querySelectorAll("#target-lmtpd button.cell")].map((c) => c.dataset.number).join(" ") === "1 2 5 6 7 8 9 10 11 12"`)
	d.set(func(st *api.Status) {
		*st = troubled()
		st.Targets = st.Targets[1:2]
	})
	p.await(`[...document.querySelectorAll("button.cell")].map((c) => c.dataset.number).join(" ") === "1 2 3 4 5 6 7 8 9 10 11 12"`)
	d.set(func(st *api.Status) { st.Targets = []api.TargetStatus{} })
	p.await(order + ` === ""`)
	p.says("#findings", "There is no target")
	p.content(d.url())
}

// Nothing is wider than the screen, and no cell too small for what it says, with few copies and many.
func fits(t *testing.T, b context.Context) {
	d := startDaemon(t, troubled(), history(20)...)
	p := open(t, b, d.url(), 360)
	for name, status := range map[string]api.Status{
		"1 copy": sample(1), "60 copies": saturated(), "240 copies": sample(240), "999 copies": sample(999), "troubles": troubled(),
	} {
		status.Targets[0].Copies[0].Verified = false
		d.set(func(st *api.Status) {
			*st = status
			// What is longest: a crowd, in numbers that no threshold keeps.
			for i := range st.Targets[0].Copies {
				st.Targets[0].Copies[i].Processes += 12000
			}
		})
		for _, width := range []int64{360, 1600} {
			p.do(chromedp.EmulateViewport(width, 900))
			p.says("#link", "live")
			p.await(fmt.Sprintf(`innerWidth === %d && document.querySelectorAll("#targets .target:first-child button.cell").length === %d`, width, len(status.Targets[0].Copies)))
			if wide := is[int64](p, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("%s: the page is %d wide on a screen of %d", name, wide, width)
			}
			small := is[[]string](p, `[...document.querySelectorAll("button.cell")].filter((c) => [...c.querySelectorAll(":not(.unseen)")].some((part) => {
				const [inner, outer] = [part.getBoundingClientRect(), c.getBoundingClientRect()];
				return inner.right > outer.right + 1 || inner.left < outer.left - 1 || inner.bottom > outer.bottom + 1;
			})).map((c) => c.innerText)`)
			if len(small) > 0 {
				t.Errorf("%s: on a screen of %d these cells are too small: %q", name, width, small[:min(3, len(small))])
			}
		}
	}
	p.content(d.url())
}

func keyboard(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(60), history(40)...)
	p := open(t, b, d.url(), 1000)
	p.says("#link", "live")
	p.await(`document.querySelectorAll("button.cell").length === 60`)
	press := func(key string) {
		t.Helper()
		p.do(chromedp.KeyEvent(key))
	}
	focus := `(document.activeElement.dataset.number ?? document.activeElement.id)`
	press(kb.Tab)
	p.await(`document.activeElement.className === "skip"`)
	press(kb.Tab)
	p.await(focus + ` === "theme"`)
	press(kb.Tab)
	p.await(`document.activeElement.getAttribute("href") === "#target-imapd"`)
	press(kb.Tab)
	p.await(focus + ` === "20"`) // the current copy: the map is one stop
	press(kb.ArrowRight)
	p.await(focus + ` === "21"`)
	p.says(".detail", "imapd_021: 28 of 200 processes")
	columns := is[int](p, `getComputedStyle(document.querySelector(".heat")).gridTemplateColumns.split(" ").length`)
	press(kb.ArrowDown)
	p.await(fmt.Sprintf(`%s === "%d"`, focus, 21+columns))
	press(kb.ArrowUp)
	press(kb.ArrowLeft)
	p.await(focus + ` === "20"`)
	press(kb.End)
	p.await(focus + ` === "60"`)
	press(kb.ArrowRight)
	p.await(focus + ` === "60"`)
	press(kb.Home)
	p.await(focus + ` === "1"`)
	p.says(".detail", "imapd_001: 160 of 200 processes, equals its source, inode 9985001.")
	// The chosen cell stays so, and tells what is, when numbers change.
	d.set(func(st *api.Status) { st.Targets[0].Copies[0].Processes = 161 })
	p.says(".detail", "imapd_001: 161 of 200 processes")
	if got := is[string](p, focus); got != "1" {
		t.Errorf("the focus went to %q when a number changed", got)
	}
	press(kb.Tab)
	p.await(`document.activeElement.type === "checkbox"`)
	if outline := is[string](p, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
		t.Error("nobody sees where the focus is")
	}
	p.content(d.url())
}

func eventsByKind(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(3), history(170)...)
	p := open(t, b, d.url(), 1000)
	p.says("#log-more", "30 of 170")
	p.await(`new Date(document.querySelector("#log time").dateTime) >= new Date([...document.querySelectorAll("#log time")].at(-1).dateTime)`)
	click := func(selector string) {
		t.Helper()
		is[bool](p, fmt.Sprintf(`document.querySelector(%q).click() ?? true`, selector))
	}
	click("#log-older")
	p.says("#log-more", "60 of 170")
	click("input[value=rotation]")
	p.says("#log-more", "30 of 170")
	p.await(`[...document.querySelectorAll("#log .kind")].every((k) => k.textContent !== "rotation")`)
	// What comes is shown if its kind is.
	d.happen(api.Event{ID: 171, Time: time.Now(), Target: "imapd", Kind: "rotation", Message: "hidden"})
	d.happen(api.Event{ID: 172, Time: time.Now(), Target: "imapd", Kind: "growth", Message: "<b>the pool</b> got one more copy", Seconds: 0.5})
	p.says("#log > li:first-child", "<b>the pool</b> got one more copy")
	p.says("#log > li:first-child", "500 ms")
	p.says("#filters", "growth 1")
	click("input[value=rotation]")
	p.says("#log > li:nth-child(2)", "hidden")
	is[bool](p, `[...document.querySelectorAll("#filters input")].forEach((box) => box.click()) ?? true`)
	p.says("#log-more", "None of the 172 events")
	p.content(d.url())
}

func themeIsRemembered(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(3))
	p := open(t, b, d.url(), 1000, "prefers-color-scheme", "light")
	ground := `getComputedStyle(document.body).backgroundColor`
	p.says("#link", "live")
	light := is[string](p, ground)
	p.media("prefers-color-scheme", "dark")
	p.await(ground + ` !== "` + light + `"`)
	dark := is[string](p, ground)
	choose := func(theme string) {
		t.Helper()
		is[bool](p, fmt.Sprintf(`(() => { const s = document.querySelector("#theme"); s.value = %q; return s.dispatchEvent(new Event("change")); })()`, theme))
	}
	choose("light")
	p.await(ground + ` === "` + light + `"`)
	p.do(chromedp.Reload())
	p.await(ground + ` === "` + light + `" && document.querySelector("#theme").value === "light"`)
	p.media("prefers-color-scheme", "light")
	choose("dark")
	p.await(ground + ` === "` + dark + `"`)
	choose("auto")
	p.await(ground + ` === "` + light + `"`)
	p.content(d.url())
}

func withoutScripts(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(3))
	p := open(t, b, "about:blank", 360)
	command(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	p.do(chromedp.Navigate(d.url()))
	p.says("noscript", "Run relinkd status on")
	p.await(`document.querySelector("noscript").getBoundingClientRect().height > 20`)
}

// Numbers change each second, and nothing moves because of that; a link to a target may scroll, unless
// somebody wants no motion.
func reducedMotion(t *testing.T, b context.Context) {
	d := startDaemon(t, sample(3))
	p := open(t, b, d.url(), 1000)
	p.says("#link", "live")
	p.await(`getComputedStyle(document.documentElement).scrollBehavior === "smooth"`)
	p.await(`[...document.querySelectorAll("*")].every((e) => getComputedStyle(e).transitionDuration === "0s" && getComputedStyle(e).animationName === "none")`)
	p.media("prefers-reduced-motion", "reduce")
	p.await(`getComputedStyle(document.documentElement).scrollBehavior === "auto"`)
}
