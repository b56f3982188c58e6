package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
)

// contract is the document of DESIGN.md §8.
const contract = `[target.imapd]
path       = "auto"       # or /usr/lib/cyrus/bin/imapd; auto looks where the distributions install it
publish    = "symlink"    # "launcher", "none"
copies     = 60
max_copies = 240
keep_free  = "64MiB"      # of the file system, when the pool grows
threshold  = 200          # processes per executable
rotate_at  = 0.9
min_dwell  = "1s"
rotation   = "adaptive"   # or "interval"
interval   = "1m"
keep       = 2            # earlier generations, to go back to
settle     = { quiet = "1s", max = "30s" }

[census]
interval = "60s"          # with kernel events; without them at most "1s"
events   = "auto"         # auto, netlink, off
verify   = "24h"          # every copy against its hash

[control]
socket = "/run/relinkd/relinkd.sock"
group  = ""               # group that may read status; changes are for root
[metrics]
listen = ""               # "127.0.0.1:9642" serves /metrics and the status page
[log]
level = "info"
format = "auto"           # console on a terminal, journal under systemd, json else
[state]
dir = "/var/lib/relinkd"
`

func contractConfig(path string) *Config {
	return &Config{
		Targets: []Target{{
			Name: "imapd", Path: path, Publish: PublishSymlink, Copies: 60, MaxCopies: 240,
			KeepFree: 64 << 20, Threshold: 200, RotateAt: 0.9, MinDwell: time.Second, Rotation: RotationAdaptive,
			Interval: time.Minute, Keep: 2, Settle: Settle{Quiet: time.Second, Max: 30 * time.Second},
		}},
		Census:  Census{Interval: time.Minute, Events: EventsAuto, Verify: 24 * time.Hour},
		Control: Control{Socket: "/run/relinkd/relinkd.sock"},
		Log:     Log{Level: "info", Format: "auto"},
		State:   State{Dir: "/var/lib/relinkd"},
	}
}

func TestContractAndDefaults(t *testing.T) {
	root := t.TempDir()
	want := contractConfig(root + "/usr/lib/cyrus/bin/imapd")
	for name, text := range map[string]string{"contract": contract, "defaults": "[target.imapd]\n"} {
		got := load(t, Options{File: write(t, text), Root: root})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestExample holds the shipped example to its word: every key, each at its default.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../packaging/relinkd.toml")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	got := load(t, Options{File: write(t, string(data)), Root: root})
	if diff := cmp.Diff(contractConfig(root+"/usr/lib/cyrus/bin/imapd"), got); diff != "" {
		t.Errorf("the example is not the default (-want +got):\n%s", diff)
	}
	stated := newLines(data)
	for _, s := range settings([]string{"imapd"}) {
		if stated[s.name()] == 0 {
			t.Errorf("the example lacks %s", s.name())
		}
	}
}

// everyKey has no key at its default.
const everyKey = `
[target."my.imapd"]
path = "/opt/my/imapd"
publish = "none"
copies = 3
max_copies = 999
keep_free = "1GiB"
threshold = 1
rotate_at = 0.5
min_dwell = "0s"
rotation = "interval"
interval = "10ms"
keep       = 0
settle.quiet = "2s"
settle.max = "2s"

[census]
interval = "1h"
events = "off"
verify = "1h30m"
[control]
socket = "/tmp/s"
group = "root"
[metrics]
listen = ""
[log]
level = "trace"
format = "json"
[state]
dir = "/srv/relinkd"
`

func everyKeyConfig() *Config {
	return &Config{
		Targets: []Target{{
			Name: "my.imapd", Path: "/opt/my/imapd", Publish: PublishNone, Copies: 3, MaxCopies: 999,
			KeepFree: 1 << 30, Threshold: 1, RotateAt: 0.5, MinDwell: 0, Rotation: RotationInterval,
			Interval: 10 * time.Millisecond, Keep: 0, Settle: Settle{Quiet: 2 * time.Second, Max: 2 * time.Second},
		}},
		Census:  Census{Interval: time.Hour, Events: EventsOff, Verify: 90 * time.Minute},
		Control: Control{Socket: "/tmp/s", Group: "root"},
		Log:     Log{Level: "trace", Format: "json"},
		State:   State{Dir: "/srv/relinkd"},
	}
}

// TestEveryKey gives every key by file, by variable and by flag, and wants the same of each.
func TestEveryKey(t *testing.T) {
	var tree map[string]any
	if err := toml.Unmarshal([]byte(everyKey), &tree); err != nil {
		t.Fatal(err)
	}
	var environ []string
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, s := range settings([]string{"my.imapd"}) {
		var v any = tree
		for _, part := range s.path {
			v = v.(map[string]any)[part]
		}
		text, quoted := v.(string)
		if !quoted {
			text = describe(v)
		}
		environ = append(environ, s.env()+"="+text)
		flags.String(s.name(), "", "")
		if err := flags.Set(s.name(), text); err != nil {
			t.Fatal(err)
		}
	}
	bare := "[target.\"my.imapd\"]\n"
	for name, o := range map[string]Options{
		"file":        {File: write(t, everyKey)},
		"environment": {File: write(t, bare), Env: environ},
		"flags":       {File: write(t, bare), Flags: flags},
	} {
		if diff := cmp.Diff(everyKeyConfig(), load(t, o)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOrderOfLayers(t *testing.T) {
	file := write(t, "[target.imapd]\npath = \"/opt/imapd\"\n[log]\nlevel = \"warn\"\n")
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("log.level", "error", "")
	flags.String("config", "", "")
	env := []string{"RELINKD_LOG__LEVEL=debug", "HOME=/root", "RELINKD"}
	steps := []struct {
		name string
		do   func()
		o    Options
		want string
	}{
		{"default", nil, Options{File: write(t, "[target.imapd]\npath = \"/opt/imapd\"\n")}, "info"},
		{"file", nil, Options{File: file}, "warn"},
		{"environment", nil, Options{File: file, Env: env}, "debug"},
		{"flag not set", nil, Options{File: file, Env: env, Flags: flags}, "debug"},
		{"flag set", func() { flags.Set("log.level", "trace"); flags.Set("config", file) },
			Options{File: file, Env: env, Flags: flags}, "trace"},
	}
	for _, step := range steps {
		if step.do != nil {
			step.do()
		}
		if got := load(t, step.o).Log.Level; got != step.want {
			t.Errorf("%s: log.level is %q, want %q", step.name, got, step.want)
		}
	}
}

// TestTypedFlags takes flags of pflag's own types as well as texts.
func TestTypedFlags(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Duration("census.interval", 0, "")
	flags.Int("target.imapd.copies", 0, "")
	if err := flags.Parse([]string{"--census.interval=90s", "--target.imapd.copies=7"}); err != nil {
		t.Fatal(err)
	}
	c := load(t, Options{File: write(t, "[target.imapd]"), Root: t.TempDir(), Flags: flags})
	if c.Census.Interval != 90*time.Second || c.Targets[0].Copies != 7 {
		t.Errorf("got census.interval %v, copies %d", c.Census.Interval, c.Targets[0].Copies)
	}
}

// TestVariableFindsTarget matches a variable with a target's name, whatever its letters.
func TestVariableFindsTarget(t *testing.T) {
	c := load(t, Options{
		File: write(t, "[target.IMAP-Proxy]\n[target.imapd]\n[target.\"v2.4\"]\n"),
		Root: t.TempDir(),
		Env:  []string{"RELINKD_TARGET__IMAP_PROXY__SETTLE__QUIET=5s", "RELINKD_TARGET__IMAPD__MAX_COPIES=61", "RELINKD_TARGET__V2_4__THRESHOLD=5"},
	})
	proxy, _ := c.Target("IMAP-Proxy")
	imapd, _ := c.Target("imapd")
	dot, _ := c.Target("v2.4")
	if proxy.Settle.Quiet != 5*time.Second || imapd.MaxCopies != 61 || imapd.Settle.Quiet != time.Second || dot.Threshold != 5 {
		t.Errorf("got %+v, %+v and %+v", proxy, imapd, dot)
	}
}

func TestTargets(t *testing.T) {
	root := t.TempDir()
	file := write(t, "target.b.rotate_at = 1\ntarget.a = {}\n[target.B]\n")
	c := load(t, Options{File: file, Root: root})
	var names []string
	for _, target := range c.Targets {
		names = append(names, target.Name)
	}
	if want := []string{"B", "a", "b"}; !slices.Equal(names, want) {
		t.Errorf("targets %q, want %q", names, want)
	}
	if b, ok := c.Target("b"); !ok || b.RotateAt != 1 || b.Path != filepath.Join(root, "usr/lib/cyrus/bin/b") {
		t.Errorf("target b is %+v, %v", b, ok)
	}
	if _, ok := c.Target("c"); ok {
		t.Error("there is a target c")
	}
}

func TestRestartNeeded(t *testing.T) {
	old, changed := contractConfig("/opt/imapd"), everyKeyConfig()
	if got := RestartNeeded(old, old); len(got) > 0 {
		t.Errorf("no change: %q", got)
	}
	want := []string{
		"control.socket: needs a restart", "control.group: needs a restart",
		"log.level: needs a restart", "log.format: needs a restart", "state.dir: needs a restart",
	}
	if diff := cmp.Diff(want, RestartNeeded(old, changed)); diff != "" {
		t.Errorf("all changed (-want +got):\n%s", diff)
	}
	reloadable := contractConfig("/elsewhere/imapd")
	reloadable.Census.Interval = time.Second
	reloadable.Metrics.Listen = "127.0.0.1:9642"
	if got := RestartNeeded(old, reloadable); len(got) > 0 {
		t.Errorf("a reload is enough: %q", got)
	}
}
