package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// What may be there, as the problems say it.
const (
	durationAbove   = `a duration of at least 10ms, with its unit and in quotes, such as "90s", "1m30s" or "24h"`
	durationSecond  = `a duration of at least 1s, with its unit and in quotes, such as "90s", "1m30s" or "24h"`
	durationAtLeast = `a duration of at least zero, with its unit and in quotes, such as "90s", "1m30s" or "24h"`
	targetKeys      = "path, publish, copies, max_copies, keep_free, threshold, rotate_at, min_dwell, rotation, interval, keep, settle"
	someBytes       = `a number of bytes with its unit (B, KiB, MiB, GiB or TiB) and in quotes, such as "64MiB" or "0B"`
	anAddress       = `"" or an IP address (or localhost) and a port, such as "127.0.0.1:9642"`
	plainPath       = `an absolute path of at most 4095 bytes without "//", "/../" and the like`
	targetNames     = `letters, digits, ".", "_" and "-", the first no "." or "-"`
	variables       = "names like RELINKD_LOG__LEVEL, and RELINKD_TARGET__IMAPD__COPIES for a target of the file: unset it"
	example         = "TOML, as in relinkd's example relinkd.toml"
)

// TestFileProblems has every way in which the text of the file can be wrong. A text that starts with
// a newline stands below a good target at /opt/imapd, so that its own first line is line 3.
func TestFileProblems(t *testing.T) {
	deep := "/" + strings.Repeat("d", 107)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{
			`relinkd.toml: target: found no target, allowed: at least one: add [target.imapd]`}},
		{"no target", "[log]\nlevel = \"info\"\n[target]\n", []string{
			`relinkd.toml:3: target: found no target, allowed: at least one: add [target.imapd]`}},
		{"target is no table", "target = 3", []string{
			`relinkd.toml:1: target: found 3, allowed: a table for each target, such as [target.imapd]`}},
		{"one target is no table", "\n[target]\nimapd = \"/opt/imapd\"", []string{
			`relinkd.toml:3: target.imapd: found "/opt/imapd", allowed: a table of ` + targetKeys}},
		{"a target is a list", "[[target.imapd]]\npath = \"/opt/imapd\"", []string{
			`relinkd.toml:1: target.imapd: found a list, allowed: a table of ` + targetKeys}},
		{"target names", "[target.\".x\"]\n[target.\"a/b\"]\n[target.-x]\n[target.\"\"]\n[target.\"ä\"]\n[target.\".\"]", []string{
			`relinkd.toml:1: target.".x": found the name ".x", allowed: ` + targetNames,
			`relinkd.toml:2: target."a/b": found the name "a/b", allowed: ` + targetNames,
			`relinkd.toml:3: target.-x: found the name "-x", allowed: ` + targetNames,
			`relinkd.toml:4: target."": found the name "", allowed: ` + targetNames,
			`relinkd.toml:5: target."ä": found the name "ä", allowed: ` + targetNames,
			`relinkd.toml:6: target.".": found the name ".", allowed: ` + targetNames}},

		{"syntax", "\n[log]\nlevel = info", []string{
			`relinkd.toml:4: found invalid TOML (expected newline but got U+006F 'o'), allowed: ` + example}},
		{"key twice", "\n[log]\nlevel = \"info\"\nlevel = \"warn\"", []string{
			`relinkd.toml:5: found invalid TOML (key level is already defined), allowed: ` + example}},

		{"unknown keys everywhere", "\n[bogus]\nx = 1\n[log]\nLevel = \"info\"\n[target.imapd.settle]\nmin = \"1s\"\n[target.imapd.more]\n", []string{
			`relinkd.toml:3: bogus: found a key that relinkd does not know, allowed: target, census, control, metrics, log, state`,
			`relinkd.toml:6: log.Level: found a key that relinkd does not know, allowed: level, format`,
			`relinkd.toml:8: target.imapd.settle.min: found a key that relinkd does not know, allowed: quiet, max`,
			`relinkd.toml:9: target.imapd.more: found a key that relinkd does not know, allowed: ` + targetKeys}},
		{"a quoted key is no path", "\n\"log/level\" = \"info\"\n\"log.level\" = \"info\"", []string{
			`relinkd.toml:3: target.imapd."log/level": found a key that relinkd does not know, allowed: ` + targetKeys,
			`relinkd.toml:4: target.imapd."log.level": found a key that relinkd does not know, allowed: ` + targetKeys}},

		{"whole numbers", "\ncopies = 0\nmax_copies = 1000\nthreshold = 0", []string{
			`relinkd.toml:3: target.imapd.copies: found 0, allowed: a whole number from 1 to 999`,
			`relinkd.toml:4: target.imapd.max_copies: found 1000, allowed: a whole number from 1 to 999`,
			`relinkd.toml:5: target.imapd.threshold: found 0, allowed: a whole number of at least 1`}},
		{"whole numbers of other types", "\ncopies = \"60\"\nmax_copies = 240.0\nthreshold = true", []string{
			`relinkd.toml:3: target.imapd.copies: found "60", allowed: a whole number from 1 to 999`,
			`relinkd.toml:4: target.imapd.max_copies: found 240.0, allowed: a whole number from 1 to 999`,
			`relinkd.toml:5: target.imapd.threshold: found true, allowed: a whole number of at least 1`}},
		{"a table for a number", "\n[target.imapd.copies]\nn = 1", []string{
			`relinkd.toml:3: target.imapd.copies: found a table, allowed: a whole number from 1 to 999`}},
		{"a list for a number", "\ncopies = [1, 2]", []string{
			`relinkd.toml:3: target.imapd.copies: found a list, allowed: a whole number from 1 to 999`}},

		{"rotate_at 0", "\nrotate_at = 0", []string{
			`relinkd.toml:3: target.imapd.rotate_at: found 0, allowed: a number above 0 and up to 1`}},
		{"rotate_at above 1", "\nrotate_at = 1.01", []string{
			`relinkd.toml:3: target.imapd.rotate_at: found 1.01, allowed: a number above 0 and up to 1`}},
		{"rotate_at nan", "\nrotate_at = nan", []string{
			`relinkd.toml:3: target.imapd.rotate_at: found NaN, allowed: a number above 0 and up to 1`}},
		{"rotate_at percent", "\nrotate_at = \"90%\"", []string{
			`relinkd.toml:3: target.imapd.rotate_at: found "90%", allowed: a number above 0 and up to 1`}},

		{"nonsense", "\ninterval = \"1ns\"\n[census]\ninterval = \"1ns\"\nverify = \"1ns\"", []string{
			`relinkd.toml:3: target.imapd.interval: found "1ns", allowed: ` + durationAbove,
			`relinkd.toml:5: census.interval: found "1ns", allowed: ` + durationAbove,
			`relinkd.toml:6: census.verify: found "1ns", allowed: ` + durationSecond}},
		{"bytes", "\nkeep_free = 64", []string{`relinkd.toml:3: target.imapd.keep_free: found 64, a number without a unit, allowed: ` + someBytes}},
		{"bytes of another unit", "\nkeep_free = \"64MB\"", []string{`relinkd.toml:3: target.imapd.keep_free: found "64MB", allowed: ` + someBytes}},
		{"more bytes than there are", "\nkeep_free = \"9999999TiB\"", []string{`relinkd.toml:3: target.imapd.keep_free: found "9999999TiB", allowed: ` + someBytes}},
		{"fewer bytes than none", "\nkeep_free = \"-1B\"", []string{`relinkd.toml:3: target.imapd.keep_free: found "-1B", allowed: ` + someBytes}},

		{"durations", "\nmin_dwell = 1\ninterval = \"0s\"\n[target.imapd.settle]\nquiet = \"-1s\"\nmax = \"30\"", []string{
			`relinkd.toml:3: target.imapd.min_dwell: found 1, a number without a unit, allowed: ` + durationAtLeast,
			`relinkd.toml:4: target.imapd.interval: found "0s", allowed: ` + durationAbove,
			`relinkd.toml:6: target.imapd.settle.quiet: found "-1s", allowed: ` + durationAtLeast,
			`relinkd.toml:7: target.imapd.settle.max: found "30", a number without a unit, allowed: ` + durationAtLeast}},
		{"durations of the census", "\n[census]\ninterval = 1979-05-27\nverify = \"1d\"", []string{
			`relinkd.toml:4: census.interval: found 1979-05-27, allowed: ` + durationAbove,
			`relinkd.toml:5: census.verify: found "1d", allowed: ` + durationSecond}},
		{"durations of zero", "\n[census]\ninterval = \"0\"\nverify = false", []string{
			`relinkd.toml:4: census.interval: found "0", allowed: ` + durationAbove,
			`relinkd.toml:5: census.verify: found false, allowed: ` + durationSecond}},
		{"an inline table", "\nsettle = { quiet = \"x\",\n  max = 3 }", []string{
			`relinkd.toml:3: target.imapd.settle.quiet: found "x", allowed: ` + durationAtLeast,
			`relinkd.toml:4: target.imapd.settle.max: found 3, a number without a unit, allowed: ` + durationAtLeast}},
		{"no table", "\nsettle = \"1s\"", []string{
			`relinkd.toml:3: target.imapd.settle: found "1s", allowed: a table of quiet, max`}},
		{"dotted keys", "target.imapd.path = \"/opt/imapd\"\ntarget.imapd.threshold = 0\nlog.level = \"\"", []string{
			`relinkd.toml:2: target.imapd.threshold: found 0, allowed: a whole number of at least 1`,
			`relinkd.toml:3: log.level: found "", allowed: "trace", "debug", "info", "warn" or "error"`}},

		{"words", "\npublish = \"hardlink\"\nrotation = \"random\"\n[log]\nlevel = \"INFO\"\nformat = 1", []string{
			`relinkd.toml:3: target.imapd.publish: found "hardlink", allowed: "symlink", "launcher" or "none"`,
			`relinkd.toml:4: target.imapd.rotation: found "random", allowed: "adaptive" or "interval"`,
			`relinkd.toml:6: log.level: found "INFO", allowed: "trace", "debug", "info", "warn" or "error"`,
			`relinkd.toml:7: log.format: found 1, allowed: "auto", "console", "journal" or "json"`}},
		{"words of a table", "\n[census]\nevents = \"on\"", []string{
			`relinkd.toml:4: census.events: found "on", allowed: "auto", "netlink" or "off"`}},
		{"a port", "\n[metrics]\nlisten = 9642\n[control]\ngroup = 0", []string{
			`relinkd.toml:4: metrics.listen: found 9642, allowed: ` + anAddress,
			`relinkd.toml:6: control.group: found 0, allowed: "" or the name of a group`}},
		{"no address", "\n[metrics]\nlisten = \"mail.example.com:9642\"", []string{
			`relinkd.toml:4: metrics.listen: found "mail.example.com:9642", allowed: ` + anAddress}},
		{"no port", "\n[metrics]\nlisten = \"127.0.0.1:0\"", []string{
			`relinkd.toml:4: metrics.listen: found "127.0.0.1:0", allowed: ` + anAddress}},
		{"too many ports", "\n[metrics]\nlisten = \"::1:65536\"", []string{
			`relinkd.toml:4: metrics.listen: found "::1:65536", allowed: ` + anAddress}},
		{"no such group", "\n[control]\ngroup = \"no-such-group\"", []string{
			`relinkd.toml:4: control.group: found "no-such-group", which is no group of this host, allowed: "" or the name of a group: groupadd no-such-group`}},

		{"paths", "[target.imapd]\npath = \"imapd\"\n[control]\nsocket = \"/run/../relinkd.sock\"\n[state]\ndir = \"/var/lib/relinkd/\"", []string{
			`relinkd.toml:2: target.imapd.path: found "imapd", allowed: "auto" or ` + plainPath,
			`relinkd.toml:4: control.socket: found "/run/../relinkd.sock", allowed: ` + strings.Replace(plainPath, "4095", "107", 1),
			`relinkd.toml:6: state.dir: found "/var/lib/relinkd/", allowed: ` + plainPath}},
		{"a path that no launcher holds", "[target.imapd]\npublish = \"launcher\"\npath = \"/" + strings.Repeat("d/", 400) + "imapd\"", []string{
			`relinkd.toml:3: target.imapd.path: found a path of 806 bytes, allowed: at most 721 bytes with publish = "launcher"`}},
		{"more paths", "[target.imapd]\npath = \"/opt/a\\u0000b\"\n[control]\nsocket = \"" + deep + "\"\n[state]\ndir = \"/\"", []string{
			`relinkd.toml:2: target.imapd.path: found "/opt/a\x00b", allowed: "auto" or ` + plainPath,
			`relinkd.toml:4: control.socket: found "` + deep + `", allowed: ` + strings.Replace(plainPath, "4095", "107", 1),
			`relinkd.toml:6: state.dir: found "/", allowed: ` + plainPath}},
		{"the private link as path", "[target.imapd]\npath = \"/opt/.relinkd/imapd\"", []string{
			`relinkd.toml:2: target.imapd.path: found "/opt/.relinkd/imapd", which is in relinkd's own directory, allowed: the installed name of an executable`}},

		{"copies above max_copies", "\ncopies = 241", []string{
			`relinkd.toml:3: target.imapd.copies: found 241, allowed: at most max_copies, which is 240`}},
		{"max_copies below copies", "\nmax_copies = 59", []string{
			`relinkd.toml:3: target.imapd.max_copies: found 59, allowed: at least copies, which is 60: lower that as well`}},
		{"no word of copies when max_copies is refused", "\ncopies = 241\nmax_copies = 0", []string{
			`relinkd.toml:4: target.imapd.max_copies: found 0, allowed: a whole number from 1 to 999`}},
		{"quiet above max", "\nsettle.quiet = \"31s\"", []string{
			`relinkd.toml:3: target.imapd.settle.quiet: found 31s, allowed: at most settle.max, which is 30s`}},
		{"max below quiet", "\nsettle = { max = \"0s\" }", []string{
			`relinkd.toml:3: target.imapd.settle.max: found 0s, allowed: at least settle.quiet, which is 1s: lower that as well`}},

		{"one path", "\n[target.other]\npath = \"/opt/imapd\"", []string{
			`relinkd.toml:4: target.other.path: found "/opt/imapd", which is the path of target imapd, allowed: a path of its own`}},
		{"a copy's name", "\n[target.other]\npath = \"/opt/imapd_017\"", []string{
			`relinkd.toml:4: target.other.path: found "/opt/imapd_017", a name that relinkd uses for target imapd, allowed: another name than imapd and imapd_001, with or without a suffix after a dot`}},
		{"a copy's name, the other way round", "\n[target.z]\npath = \"/opt/z\"\n[target.zz]\npath = \"/opt/imap\"\n[target.a]\npath = \"/opt/z.new\"", []string{
			`relinkd.toml:8: target.a.path: found "/opt/z.new", a name that relinkd uses for target z, allowed: another name than z and z_001, with or without a suffix after a dot`}},
		{"the pristine's name", "\n[target.other]\npath = \"/opt/imapd.pristine\"", []string{
			`relinkd.toml:4: target.other.path: found "/opt/imapd.pristine", a name that relinkd uses for target imapd, allowed: another name than imapd and imapd_001, with or without a suffix after a dot`}},
		{"the name of a copy that is being made", "\n[target.other]\npath = \"/opt/imapd_017.new\"", []string{
			`relinkd.toml:4: target.other.path: found "/opt/imapd_017.new", a name that relinkd uses for target imapd, allowed: another name than imapd and imapd_001, with or without a suffix after a dot`}},
		{"names that only look alike", "\n[target.a]\npath = \"/opt/imapd_17\"\n[target.b]\npath = \"/srv/imapd_017\"\n[target.c]\npath = \"/opt/imapds\"\n[target.d]\npath = \"/opt/imapd_000\"", nil},

		{"state.dir in the install directory", "\n[state]\ndir = \"/opt/deep/state\"", []string{
			`relinkd.toml:4: state.dir: found "/opt/deep/state", which is inside /opt of target imapd, allowed: a path outside it`}},
		{"install directory around the default state.dir", "[target.imapd]\npath = \"/var/lib/relinkd/imapd\"", []string{
			`relinkd.toml:2: target.imapd.path: found "/var/lib/relinkd/imapd", a directory that holds state.dir (/var/lib/relinkd), allowed: another directory, or another state.dir`}},
		{"no word of the default state.dir when another is refused", "[target.imapd]\npath = \"/var/lib/relinkd/imapd\"\n[state]\ndir = \"state\"", []string{
			`relinkd.toml:4: state.dir: found "state", allowed: ` + plainPath}},
		{"the socket in the install directory", "\n[control]\nsocket = \"/opt/imapd_001\"", []string{
			`relinkd.toml:4: control.socket: found "/opt/imapd_001", which is inside /opt of target imapd, allowed: a path outside it`}},
		{"the socket in the state directory", "\n[control]\nsocket = \"/var/lib/relinkd/imapd.released\"", []string{
			`relinkd.toml:4: control.socket: found the socket "/var/lib/relinkd/imapd.released" inside the state directory "/var/lib/relinkd", allowed: one outside the other`}},
		{"the state directory around the socket", "\n[state]\ndir = \"/run/relinkd\"", []string{
			`relinkd.toml:4: state.dir: found the socket "/run/relinkd/relinkd.sock" inside the state directory "/run/relinkd", allowed: one outside the other`}},
		{"the kernel's own files", "[target.imapd]\npath = \"/proc/1/root/opt/imapd\"\n[control]\nsocket = \"/dev/relinkd\"\n[state]\ndir = \"/sys/kernel/debug\"", []string{
			`relinkd.toml:2: target.imapd.path: found "/proc/1/root/opt/imapd", which is in /proc, allowed: a path on a file system for files`,
			`relinkd.toml:4: control.socket: found "/dev/relinkd", which is in /dev, allowed: a path on a file system for files`,
			`relinkd.toml:6: state.dir: found "/sys/kernel/debug", which is in /sys, allowed: a path on a file system for files`}},
		{"shared memory", "[target.imapd]\npath = \"/dev/shm/bin/imapd\"\n[state]\ndir = \"/dev/shm/state\"", nil},
		{"state.dir beside the install directory", "\n[state]\ndir = \"/optional\"", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.text
			if strings.HasPrefix(text, "\n") && !strings.HasPrefix(text, "\n[target]") {
				text = "[target.imapd]\npath = \"/opt/imapd\"" + text
			}
			if diff := cmp.Diff(tt.want, problems(t, Options{File: write(t, text)})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestOverrideProblems has what variables and flags can say wrongly: they are named in place of the
// line, after what the file says.
func TestOverrideProblems(t *testing.T) {
	const text = "[target.imapd]\npath = \"/opt/imapd\"\ncopies = 70\n[log]\nlevel = \"loud\"\n"
	loud := `relinkd.toml:5: log.level: found "loud", allowed: "trace", "debug", "info", "warn" or "error"`
	for _, tt := range []struct {
		name  string
		env   []string
		flags []string
		want  []string
	}{
		{"values", []string{
			"RELINKD_TARGET__IMAPD__THRESHOLD=2e3",
			"RELINKD_TARGET__IMAPD__ROTATE_AT=2",
			"RELINKD_TARGET__IMAPD__MIN_DWELL=1",
			"RELINKD_CENSUS__INTERVAL=",
			"RELINKD_CONTROL__GROUP=no-such-group",
			"RELINKD_METRICS__LISTEN=:9642",
		}, []string{"--log.level=x", "--target.imapd.max_copies=many", "--target.imapd.rotate_at=90%"}, []string{
			loud,
			`RELINKD_CENSUS__INTERVAL: census.interval: found "", allowed: ` + durationAbove,
			`RELINKD_CONTROL__GROUP: control.group: found "no-such-group", which is no group of this host, allowed: "" or the name of a group: groupadd no-such-group`,
			`RELINKD_METRICS__LISTEN: metrics.listen: found ":9642", allowed: ` + anAddress,
			`RELINKD_TARGET__IMAPD__MIN_DWELL: target.imapd.min_dwell: found "1", a number without a unit, allowed: ` + durationAtLeast,
			`RELINKD_TARGET__IMAPD__ROTATE_AT: target.imapd.rotate_at: found 2, allowed: a number above 0 and up to 1`,
			`RELINKD_TARGET__IMAPD__THRESHOLD: target.imapd.threshold: found "2e3", allowed: a whole number of at least 1`,
			`--log.level: log.level: found "x", allowed: "trace", "debug", "info", "warn" or "error"`,
			`--target.imapd.max_copies: target.imapd.max_copies: found "many", allowed: a whole number from 1 to 999`,
			`--target.imapd.rotate_at: target.imapd.rotate_at: found "90%", allowed: a number above 0 and up to 1`,
		}},
		{"a refused value of the file stays refused", []string{"RELINKD_LOG__LEVEL=info"}, nil, []string{loud}},
		{"keys at odds", []string{"RELINKD_TARGET__IMAPD__MAX_COPIES=69"}, nil, []string{
			`relinkd.toml:3: target.imapd.copies: found 70, allowed: at most max_copies, which is 69`, loud}},
		{"stray names", []string{"RELINKD_LOG_LEVEL=info", "RELINKD_TARGET__POP3D__COPIES=1", "RELINKD_log__level=info"},
			[]string{"--log.format=json", "--target.pop3d.copies=1"}, []string{
				loud,
				`RELINKD_TARGET__POP3D__COPIES: found a variable that names no setting, allowed: ` + variables,
				`RELINKD_log__level: found a variable that names no setting, allowed: ` + variables,
				`--target.pop3d.copies: found a flag that names no setting, allowed: names of keys of the file, such as --log.level`,
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := pflag.NewFlagSet("", pflag.ContinueOnError)
			for _, name := range []string{"log.level", "log.format", "target.imapd.max_copies", "target.imapd.rotate_at", "target.pop3d.copies"} {
				flags.String(name, "", "")
			}
			if err := flags.Parse(tt.flags); err != nil {
				t.Fatal(err)
			}
			got := problems(t, Options{File: write(t, text), Env: tt.env, Flags: flags})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Of variables that could name no setting a configuration warns, once: Kubernetes makes such of a service.
func TestUnrelatedVariables(t *testing.T) {
	o := Options{File: write(t, good), Root: t.TempDir(), Env: []string{
		"RELINKD_SERVICE_HOST=10.0.0.1", "RELINKD_PORT=tcp://10.0.0.1:9642", "RELINKD_PORT_9642_TCP_ADDR=10.0.0.1", "RELINKD_=", "PATH=/bin",
	}}
	want := []string{"RELINKD_, RELINKD_PORT, RELINKD_PORT_9642_TCP_ADDR, RELINKD_SERVICE_HOST: no setting is named so, and it is ignored; " +
		"those of relinkd are named like RELINKD_LOG__LEVEL, with two underscores"}
	if diff := cmp.Diff(want, load(t, o).Warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.Env = []string{"PATH=/bin"}
	if w := load(t, o).Warnings; len(w) > 0 {
		t.Errorf("warns of nothing: %q", w)
	}
}

func TestVariableOfTwoTargets(t *testing.T) {
	got := problems(t, Options{
		File: write(t, "[target.a-b]\n[target.a_b]\n"),
		Root: t.TempDir(),
		Env:  []string{"RELINKD_TARGET__A_B__COPIES=3"},
	})
	want := []string{"RELINKD_TARGET__A_B__COPIES: found a variable that could mean target.a-b.copies or " +
		"target.a_b.copies, allowed: a variable that means one setting: use the file"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What nobody means is refused by a limit that is named, before it takes long.
func TestLimits(t *testing.T) {
	const imapd = "[target.imapd]\npath = \"/opt/imapd\"\n"
	many := 50_000
	var targets strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&targets, "[target.t%d]\npath = \"/opt/x/t%d\"\n", i, i)
	}
	deep := strings.Repeat("a.", many) + "a"
	tooDeep := `relinkd.toml:3: found a key of more than 16 parts, with those of its tables, allowed: at most 16 parts`
	for _, tt := range []struct{ name, text, want string }{
		{"a nested table", imapd + "[" + deep + "]\n", tooDeep},
		{"a dotted key", imapd + deep + " = 1\n", tooDeep},
		{"inline tables", imapd + "a = " + strings.Repeat("{ a = ", 100) + "1" + strings.Repeat(" }", 100), tooDeep},
		{"a dotted key in a table", imapd + "settle." + strings.Repeat("a.", 13) + "a = 1\n", tooDeep},
		{"5,000 targets", targets.String(), `relinkd.toml:1: target: found 5000 targets, allowed: at most 100 targets`},
		{"a large file", imapd + strings.Repeat("#\n", 256<<9), `relinkd.toml: found a file of more than 262144 bytes, allowed: at most 262144 bytes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff([]string{tt.want}, problems(t, Options{File: write(t, tt.text)})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	most := fmt.Sprintf("%sx.%sa = 1\n", imapd, strings.Repeat("a.", 12))
	if diff := cmp.Diff([]string{`relinkd.toml:3: target.imapd.x: found a key that relinkd does not know, allowed: ` + targetKeys}, problems(t, Options{File: write(t, most)})); diff != "" {
		t.Errorf("as deep as may be (-want +got):\n%s", diff)
	}
}
