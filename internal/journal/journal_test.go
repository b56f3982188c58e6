package journal

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"relinkd/api"
)

// sent is what was sent to the journal.
type sent struct {
	Message  string
	Priority journal.Priority
	Fields   map[string]string
}

// logger logs to what it returns.
func logger(all *[]sent) zerolog.Logger {
	w := &Writer{Fallback: io.Discard, Send: func(m string, p journal.Priority, f map[string]string) error {
		*all = append(*all, sent{m, p, f})
		return nil
	}}
	return zerolog.New(w).With().Timestamp().Logger()
}

// Each line has its message, its priority, and its fields by names that journalctl finds.
func TestFields(t *testing.T) {
	var got []sent
	log := logger(&got)
	log.Info().Str(api.FieldTarget, "imapd").Str(api.FieldKind, "rotation").Str(api.FieldCopy, "imapd_017").
		Str(api.FieldGeneration, "0123456789ab").Str(api.FieldReason, "threshold").Float64("seconds", 0.25).
		Dur("event_to_link", time.Millisecond).Bool("odd-name ä", true).Msg("rotated\nat once")
	log.Warn().Err(errors.New("no space left on device")).Uint32("uid", 7).Msg("asked to rotate")
	log.Error().AnErr("error", errors.New("full")).Msg("cannot clone: full")
	log.Log().Msg("no level")
	want := []sent{
		{"rotated\nat once", journal.PriInfo, map[string]string{
			"SYSLOG_IDENTIFIER": "relinkd", "MESSAGE_ID": MessageID(api.EventRotation), "RELINKD_TARGET": "imapd", "RELINKD_EVENT": "rotation",
			"RELINKD_COPY": "imapd_017", "RELINKD_GENERATION": "0123456789ab", "RELINKD_REASON": "threshold", "RELINKD_SECONDS": "0.25",
			"RELINKD_EVENT_TO_LINK": "1", "RELINKD_ODD_NAME__": "true"}},
		{"asked to rotate: no space left on device", journal.PriWarning, map[string]string{
			"SYSLOG_IDENTIFIER": "relinkd", "RELINKD_ERROR": "no space left on device", "RELINKD_UID": "7"}},
		{"cannot clone: full", journal.PriErr, map[string]string{"SYSLOG_IDENTIFIER": "relinkd", "RELINKD_ERROR": "full"}},
		{"no level", journal.PriInfo, map[string]string{"SYSLOG_IDENTIFIER": "relinkd"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPriorities(t *testing.T) {
	for level, want := range map[zerolog.Level]journal.Priority{
		zerolog.TraceLevel: journal.PriDebug, zerolog.DebugLevel: journal.PriDebug, zerolog.InfoLevel: journal.PriInfo,
		zerolog.WarnLevel: journal.PriWarning, zerolog.ErrorLevel: journal.PriErr, zerolog.FatalLevel: journal.PriCrit,
	} {
		var got []sent
		log := logger(&got).Level(zerolog.TraceLevel)
		log.WithLevel(level).Msg("x")
		if len(got) != 1 || got[0].Priority != want {
			t.Errorf("%s: %+v, want priority %d", level, got, want)
		}
	}
}

// Every kind of events has an ID of its own.
func TestMessageIDs(t *testing.T) {
	seen := map[string]api.EventKind{}
	for _, kind := range api.EventKinds() {
		id := MessageID(kind)
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || seen[id] != "" {
			t.Errorf("%s has the ID %q, as %q has", kind, id, seen[id])
		}
		seen[id] = kind
	}
	if id := MessageID("nothing"); id != "" {
		t.Errorf("what there is not has the ID %s", id)
	}
}

// What the journal does not take is not lost.
func TestFallback(t *testing.T) {
	var kept bytes.Buffer
	w := &Writer{Fallback: &kept, Send: func(string, journal.Priority, map[string]string) error { return errors.New("no journal") }}
	log := zerolog.New(w)
	log.Warn().Str("a", "b").Msg("kept")
	if got, want := kept.String(), `{"level":"warn","a":"b","message":"kept"}`+"\n"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	if _, err := w.Write([]byte("no JSON\n")); err != nil || !bytes.HasSuffix(kept.Bytes(), []byte("no JSON\n")) {
		t.Errorf("%v, kept %q", err, kept.String())
	}
}
