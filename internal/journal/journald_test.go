package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
)

const journald = "/usr/lib/systemd/systemd-journald"

// roleVariable makes the test binary the one who logs, in a mount namespace of its own.
const roleVariable = "RELINKD_TEST_JOURNALD"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "" {
		os.Exit(m.Run())
	}
	if err := logToJournald(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A journald of the test's own, on a /run of its own, keeps every line with its fields and its priority,
// and journalctl finds it by them.
func TestJournald(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out, it needs root: a journald of its own")
	}
	if _, err := os.Stat(journald); err != nil {
		t.Skip("left out, it needs the package systemd: " + err.Error())
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if strings.Contains(problems.String(), errNoNamespace.Error()) {
		t.Skip("left out, it needs to mount: " + problems.String())
	}
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, problems.String())
	}
	var entries []map[string]any
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		e := map[string]any{}
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		entries = append(entries, e)
	}
	if len(entries) != 2 {
		t.Fatalf("journalctl -p warning shows %d lines, want 2:\n%s", len(entries), out)
	}
	for name, want := range map[string]string{
		"MESSAGE": "imapd_017 is gone: it is cloned again", "PRIORITY": "4", "MESSAGE_ID": MessageID(api.EventRepair), "SYSLOG_IDENTIFIER": "relinkd",
		"RELINKD_TARGET": "imapd", "RELINKD_COPY": "imapd_017", "RELINKD_GENERATION": "0123456789ab", "RELINKD_REASON": "gone", "RELINKD_EVENT": "repair",
	} {
		if got := entries[0][name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if entries[1]["MESSAGE"] != "degraded: no space left on device" || entries[1]["PRIORITY"] != "3" {
		t.Errorf("the error: %v", entries[1])
	}
}

var errNoNamespace = errors.New("cannot mount in a namespace of its own")

// logToJournald starts journald on an empty /run, logs to it, and prints what journalctl finds.
func logToJournald() error {
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", "/run", "tmpfs", 0, "")); err != nil {
		return fmt.Errorf("%w: %v", errNoNamespace, err)
	}
	if err := os.MkdirAll("/run/systemd/journal", 0o755); err != nil {
		return err
	}
	daemon := exec.Command(journald)
	daemon.Stderr = os.Stderr
	if err := daemon.Start(); err != nil {
		return err
	}
	defer func() { daemon.Process.Kill(); daemon.Wait() }()
	lost := new(bytes.Buffer)
	log := zerolog.New(New(lost)).With().Timestamp().Logger()
	if err := await(func() error { _, err := os.Stat("/run/systemd/journal/socket"); return err }); err != nil {
		return err
	}
	log = log.With().Str(api.FieldTarget, "imapd").Str(api.FieldGeneration, "0123456789ab").Logger()
	log.Info().Msg("all is well")
	log.Warn().Str(api.FieldKind, string(api.EventRepair)).Str(api.FieldCopy, "imapd_017").Str(api.FieldReason, "gone").
		Msg("imapd_017 is gone: it is cloned again")
	log.Error().Str(api.FieldKind, string(api.EventError)).Msg("degraded: no space left on device")
	if lost.Len() > 0 {
		return fmt.Errorf("not taken by the journal: %s", lost)
	}
	return await(func() error {
		found, err := exec.Command("journalctl", "-D", "/run/log/journal", "-q", "-o", "json", "-p", "warning", "RELINKD_TARGET=imapd").CombinedOutput()
		if err == nil && bytes.Count(found, []byte("\n")) < 2 {
			err = fmt.Errorf("journalctl shows %q", found)
		}
		if err == nil {
			_, err = os.Stdout.Write(found)
		}
		return err
	})
}

// await tries until what succeeds.
func await(what func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		if err := what(); err == nil || time.Now().After(end) {
			return err
		}
	}
}
