package control

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// What packages hold for those who watch relinkd.
const (
	alertRules = "../packaging/prometheus/relinkd-alerts.yml"
	alertTests = "../packaging/prometheus/relinkd-alerts.test.yml"
	dashboard  = "../packaging/grafana/relinkd-dashboard.json"
)

var metricName = regexp.MustCompile(`\brelinkd_[a-z_]+\b`)

// onlyKnown fails the test for every metric in text that there is not.
func onlyKnown(t *testing.T, where, text string) {
	t.Helper()
	known := map[string]bool{}
	for _, m := range metrics() {
		if known[m.name] = true; m.kind == histogram {
			known[m.name+"_bucket"], known[m.name+"_sum"], known[m.name+"_count"] = true, true, true
			known[m.name] = false // it has no value of its own
		}
	}
	names := metricName.FindAllString(text, -1)
	for _, name := range names {
		if !known[name] {
			t.Errorf("%s: there is no %s", where, name)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return string(text)
}

// Every alert rests on metrics that there are, and is shown to fire and not to fire.
func TestAlertRules(t *testing.T) {
	rules, tests := read(t, alertRules), read(t, alertTests)
	onlyKnown(t, alertRules, rules)
	onlyKnown(t, alertTests, tests)
	alerts := regexp.MustCompile(`(?m)^ *- alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 10 {
		t.Errorf("%d alerts are found", len(alerts))
	}
	for _, a := range alerts {
		if fires := regexp.MustCompile(`alertname: ` + a[1] + `\n +exp_alerts:\n +- exp_labels`); !fires.MatchString(tests) {
			t.Errorf("no test shows %s fire", a[1])
		}
		if strings.Count(tests, "alertname: "+a[1]+", exp_alerts: []}") < 2 {
			t.Errorf("%s is not shown to hold still when all is well, and before its time", a[1])
		}
	}
	for _, check := range [][]string{{"check", "rules", alertRules}, {"test", "rules", alertTests}} {
		if out, err := exec.Command(promtool(t), check...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(check, " "), err, out)
		}
	}
}

// panel is of a dashboard what this test looks at.
type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Targets     []struct{ Expr string }
	GridPos     struct{ H, W, X, Y int }
}

// Every panel says what it shows, and asks for metrics that there are; none covers another.
func TestDashboard(t *testing.T) {
	var d struct {
		UID        string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Annotations struct {
			List []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal([]byte(read(t, dashboard)), &d))
	if d.UID != "relinkd" || len(d.Panels) < 10 || len(d.Templating.List) == 0 || len(d.Annotations.List) == 0 {
		t.Fatalf("it is no dashboard of ours: %+v", d)
	}
	for _, v := range d.Templating.List {
		onlyKnown(t, "the variable "+v.Name, v.Definition)
	}
	for _, a := range d.Annotations.List {
		onlyKnown(t, "the annotations", a.Expr)
	}
	ids := map[int]bool{}
	covered := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the ID %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, is := covered[[2]int{x, y}]; is {
					t.Fatalf("%q covers %q", p.Title, other)
				}
				covered[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || len(p.Description) < 20 || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d, %q: it needs a title, a description, queries and room", p.ID, p.Title)
		}
		for _, q := range p.Targets {
			if !metricName.MatchString(q.Expr) {
				t.Errorf("%q asks for nothing of relinkd's: %s", p.Title, q.Expr)
			}
			onlyKnown(t, p.Title, q.Expr)
		}
	}
}
