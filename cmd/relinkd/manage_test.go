package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"relinkd/api"
	"relinkd/internal/fstest"
	"relinkd/internal/standin"
)

// At a terminal manage shows what it would do, asks, and takes nothing but yes for one.
func TestManageAsks(t *testing.T) {
	for _, test := range []struct {
		typed, says string
		managed     bool
	}{
		{"no\r", "nothing has been changed", false},
		{"\r", "nothing has been changed", false},
		{"\x04", "nothing has been changed", false}, // the end of the input
		{"\x03", "nothing has been changed", false}, // SIGINT
		{"Yes\r", "leads to 3 copies", true},
	} {
		t.Run(fmt.Sprintf("%q", test.typed), func(t *testing.T) {
			dir := fstest.Passable(t, t.TempDir())
			bin := mkdir(t, dir, "bin")
			if err := standin.Write(bin+"/imapd", "1"); err != nil {
				t.Fatal(err)
			}
			conf := filepath.Join(dir, "relinkd.toml")
			write(t, conf, fmt.Sprintf("[target.imapd]\npath = %q\ncopies = 3\nsettle = { quiet = \"1ms\", max = \"1s\" }\n[control]\nsocket = %q\n[state]\ndir = %q\n",
				bin+"/imapd", dir+"/run/relinkd.sock", dir+"/state"))
			terminal := startAtTerminal(t, exec.Command("relinkd", "--config", conf, "manage", "imapd"))
			terminal.wait("Manage imapd now? [yes/no] ")
			if names, err := os.ReadDir(bin); err != nil || len(names) != 1 {
				t.Errorf("before an answer there is %v, %v", names, err)
			}
			terminal.typed(test.typed)
			terminal.wait(test.says)
			_, err := os.Stat(bin + "/imapd_003")
			if managed := err == nil; managed != test.managed {
				t.Errorf("managed: %v", managed)
			}
		})
	}
}

// Where it cannot be known whether others may execute a copy, --yes alone is no answer.
func TestGate(t *testing.T) {
	if question, err := gate("imapd", nil, true); question != "" || err != nil {
		t.Errorf("nothing to be unsure of: %q, %v", question, err)
	}
	unsure := []string{"fapolicyd runs", "IMA appraises executables"}
	question, err := gate("imapd", unsure, false)
	if err != nil || !strings.Contains(question, "fapolicyd runs; IMA appraises executables") {
		t.Errorf("it asks %q, %v", question, err)
	}
	if question, err := gate("imapd", unsure, true); question != "" || err == nil || !strings.Contains(err.Error(), "nothing has been changed") || !strings.Contains(err.Error(), "--unchecked") {
		t.Errorf("with --yes: %q, %v", question, err)
	}
}

// planned is a service that manages whatever it is asked to.
type planned struct {
	api.Service
	managed bool
}

func (p *planned) PlanManage(context.Context, string) (*api.TargetPlan, error) {
	return &api.TargetPlan{Target: "imapd", Path: "/nowhere/imapd", Steps: []string{"publish it"}}, nil
}

func (p *planned) Manage(context.Context, string) (*api.Report, error) {
	p.managed = true
	return &api.Report{Target: "imapd"}, nil
}

// manage asks what gate says before all else, and nothing is managed without an answer to it.
func TestManageGate(t *testing.T) {
	for _, test := range []struct {
		typed          string
		yes, unchecked bool
		managed        bool
	}{
		{"", true, false, false},
		{"", true, true, true},
		{"no\n", false, false, false},
		{"yes\n", false, false, false}, // to this question, and not to the next
		{"yes\n", false, true, true},
	} {
		a := &app{in: strings.NewReader(test.typed), out: io.Discard, errOut: io.Discard, unsure: func(string) []string { return []string{"fapolicyd runs"} }}
		svc := &planned{}
		err := a.manage(t.Context(), svc, "imapd", test.yes, test.unchecked)
		if svc.managed != test.managed || (err == nil) != test.managed {
			t.Errorf("%+v: managed %v, %v", test, svc.managed, err)
		}
	}
}
