package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/console"
)

// fenced are the blocks of a language in TUNING.md.
func fenced(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/TUNING.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("TUNING.md has no block of %s", language)
	}
	return blocks
}

// tuned is the report that TUNING.md quotes: of the pool of the example configuration, beside services that
// it is too small for, with the load of a webmail site.
func tuned() *Report {
	target := config.Target{Name: "imapd", Path: imapd, Publish: config.PublishSymlink, Copies: 60, MaxCopies: 240, Threshold: 200, RotateAt: 0.9, Rotation: config.RotationAdaptive}
	command := []string{"imapd", "-U", "30"}
	// As counted on Debian 12 (test/cyrus).
	share := &Share{Path: imapd, PID: 25832, Processes: 32, Mappings: 324, Own: 5, Cores: 2,
		Others: []Mapped{{"/lib/libc.so.6", 5}, {"/lib/ld-linux-x86-64.so.2", 5}}}
	for i := range 58 {
		n := 5
		if i >= 51 {
			n = 4
		}
		share.Others = append(share.Others, Mapped{fmt.Sprintf("/lib/lib%d.so", i), n})
	}
	r := &Report{}
	r.add(
		judgeCyrus(target, []site{{Conf: "/etc/cyrus.conf", Services: []service{{"imap", command, 0, 25000}, {"imaps", command, 0, 25000}}}}, "/usr/lib/cyrus/bin/.relinkd/imapd"),
		judgeLoad(target, &api.TargetStatus{State: api.Steady, Threshold: 200, Mark: 180, MaxCopies: 240, Processes: 262, PeakCopyProcesses: 181, Rotations: 922, Copies: make([]api.CopyStatus, 60)}, 20*time.Minute, true),
		judgeShare("imapd", share, nil),
	)
	return r
}

// What TUNING.md quotes is what the program says.
func TestTuningQuotesTheProgram(t *testing.T) {
	status, err := os.ReadFile("../console/testdata/status-healthy-80.golden")
	if err != nil {
		t.Fatal(err)
	}
	says := map[string]string{
		"$ relinkd doctor": tuned().Text(console.Screen{Width: 80}),
		"$ relinkd status": string(status),
	}
	for _, block := range fenced(t, "console") {
		command, quoted, _ := strings.Cut(block, "\n")
		said, known := says[command]
		if !known {
			t.Errorf("nobody runs %q", command)
		}
		heading, rest, isSection := strings.Cut(quoted, "\n")
		if isSection && strings.HasPrefix(heading, "imapd: ") {
			if !strings.Contains(said, heading+"\n") {
				t.Errorf("%s: there is no %q in\n%s", command, heading, said)
			}
			quoted = rest
		}
		if !strings.Contains(said, quoted) {
			t.Errorf("%s does not say\n%s\nbut\n%s", command, quoted, said)
		}
	}
}

// Its settings can be loaded, and are what the doctor asked for.
func TestTuningSettingsAreAllowed(t *testing.T) {
	for _, block := range fenced(t, "toml") {
		file := filepath.Join(t.TempDir(), "relinkd.toml")
		write(t, file, block)
		c, err := config.Load(config.Options{File: file, Root: t.TempDir()})
		if err != nil {
			t.Errorf("%v\n%s", err, block)
			continue
		}
		tt := c.Targets[0]
		findings := judgeCyrus(tt, []site{{Conf: "x", Services: []service{{"imap", []string{tt.Path}, 0, 50000}}}}, "")
		for _, f := range findings {
			if f.Level == Needs {
				t.Errorf("the settings that TUNING.md comes to do not do: %s", f.What)
			}
		}
	}
}

// The metrics that it names are served.
func TestTuningNamesMetrics(t *testing.T) {
	text, err := os.ReadFile("../docs/TUNING.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("../control/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal("no sources of control", err)
	}
	var all strings.Builder
	for _, file := range sources {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(source)
	}
	names := regexp.MustCompile("`(relinkd_[a-z_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) == 0 {
		t.Fatal("TUNING.md names no metric")
	}
	for _, name := range names {
		if !strings.Contains(all.String(), `"`+name[1]+`"`) {
			t.Errorf("there is no metric %s", name[1])
		}
	}
}
