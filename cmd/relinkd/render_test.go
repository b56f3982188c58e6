package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"relinkd/watch"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

func TestStatusText(t *testing.T) {
	healthy := watch.TargetStatus{
		Name: "imapd", Path: "/usr/lib/cyrus/bin/imapd", PrivateLink: "/usr/lib/cyrus/bin/.relinkd/imapd",
		Publish: "symlink", State: watch.Steady, Current: "imapd_003", Threshold: 200, Mark: 180, MaxCopies: 240,
		Processes: 402, StaleProcesses: 3, SourceProcesses: 1,
		Rotations: 66, RotationsByReason: watch.RotationsByReason{Threshold: 64, Operator: 2},
		PeakCopyProcesses: 181, ExecRate: 12.54, EventLatencySeconds: 0.00012,
		Generation: watch.Generation{
			SHA256: "3f2a5c1be0d94d0a8f5a7b1f1d0c9e8b7a6f5e4d3c2b1a0918273645546372f1",
			Size:   360224, Since: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
		},
		Copies: []watch.CopyStatus{
			{Name: "imapd_001", Number: 1, Processes: 200, Inode: 11, Verified: true},
			{Name: "imapd_002", Number: 2, Processes: 199, Inode: 12, Verified: true},
			{Name: "imapd_003", Number: 3, Processes: 3, Inode: 13, Verified: false},
			{Name: "imapd_004", Number: 4, Processes: 0, Inode: 14, Verified: true},
		},
	}
	for name, st := range map[string]watch.Status{
		"status.golden": {Version: "1.2.3", Accounting: "netlink", Targets: []watch.TargetStatus{healthy}},
		"status-troubled.golden": {
			Version: "1.2.3", Accounting: "census", AccountingReason: "census.events is off",
			Overflows: 2, UnreadableProcesses: 17,
			ConfigError: "/etc/relinkd/relinkd.toml:3: target.imapd.copies: found 0, allowed: a whole number from 1 to 999\n/etc/relinkd/relinkd.toml:4: another",
			LastError:   "cannot clone imapd_017: no space left on device",
			Targets: []watch.TargetStatus{
				{Name: "imapd", Path: "/x/imapd", Publish: "none", State: watch.Degraded, Reason: "/x/imapd is a directory",
					Threshold: 200, Mark: 1, MaxCopies: 1, Saturated: true, EventLatencySeconds: 1.23456},
				{Name: "lmtpd", Path: "/x/lmtpd", Publish: "symlink", State: watch.Released},
			},
		},
		"status-empty.golden": {Version: "1.2.3", Accounting: "census"},
	} {
		var b bytes.Buffer
		if err := printStatus(&b, &st); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		n, limit int
		want     string
	}{
		{0, 200, "                    "},
		{1, 200, "#                   "},
		{100, 200, "##########          "},
		{199, 200, "################### "},
		{200, 200, "####################"},
		{201, 200, "####################"},
		{0, 1, "                    "},
		{1, 1, "####################"},
	} {
		if got := bar(test.n, test.limit); got != test.want {
			t.Errorf("bar(%d, %d) is %q, want %q", test.n, test.limit, got, test.want)
		}
	}
}

func TestPlanAndVerificationText(t *testing.T) {
	var b bytes.Buffer
	printPlan(&b, &watch.Plan{Targets: []watch.TargetPlan{
		{Target: "imapd", State: watch.Starting, Steps: []string{"clone 60 copies", "publish"}},
		{Target: "lmtpd", State: watch.Steady},
	}})
	printVerification(&b, &watch.Verification{Targets: []watch.TargetVerification{
		{Target: "imapd", SHA256: "ab", Copies: []watch.CopyFinding{{Name: "imapd_001"}, {Name: "imapd_002", Problem: "missing"}}},
		{Target: "lmtpd"},
	}})
	golden(t, "plan-verify.golden", b.Bytes())
}
