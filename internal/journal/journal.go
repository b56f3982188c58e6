// Package journal writes what zerolog logs to the systemd journal, in fields by which journalctl(1) finds it
// again. It must never lose a line: what the journal does not take goes where it would have gone without.
package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rs/zerolog"

	"relinkd/api"
)

// prefix is what every field of relinkd's own begins with: RELINKD_TARGET, RELINKD_COPY, RELINKD_REASON.
const prefix = "RELINKD_"

// identifier is what `journalctl -t` takes.
const identifier = "relinkd"

// Fields of relinkd's own that a line may have, with what they hold, for the manual.
func Fields() [][2]string {
	return [][2]string{
		{field(api.FieldTarget), "the target"},
		{field(api.FieldKind), "what kind of event it is, as `relinkd events` has it"},
		{field(api.FieldCopy), "the copy that was made, mended or moved on to"},
		{field(api.FieldGeneration), "the beginning of the SHA-256 of the executable that all copies equal"},
		{field(api.FieldReason), "why, in a word or in a sentence"},
	}
}

// MessageID is the MESSAGE_ID of a kind of events, "" for what there is not. They never change.
func MessageID(kind api.EventKind) string {
	return map[api.EventKind]string{
		api.EventRotation: "8f43ad3bb90740e89d47067e8bb86cef",
		api.EventUpgrade:  "c709900c1a024378be05a544c8388ab5",
		api.EventGrowth:   "b35b459989e34b3b823ce00d984aa06d",
		api.EventRepair:   "72eb8e26f0b442aeb4cf27dfa69e0217",
		api.EventManage:   "e2992472719c4c549bd68907a287d556",
		api.EventRestore:  "562f5e6c8635470c97fc6b30460c1474",
		api.EventState:    "a932dfb7754a4178965375728e44c340",
		api.EventReload:   "8eb7d13a6438495e9a5196f03f03351e",
		api.EventCounting: "141263b8384446d6927c3b2861a8807b",
		api.EventError:    "523d3443e6c94612ab19c9fc91d04baf",
	}[kind]
}

// Writer is what zerolog writes to.
type Writer struct {
	// Fallback gets what the journal does not take, as zerolog wrote it.
	Fallback io.Writer
	// Send is journal.Send, but for tests.
	Send func(message string, priority journal.Priority, fields map[string]string) error
}

// New is a Writer to the journal of this host.
func New(fallback io.Writer) *Writer { return &Writer{fallback, journal.Send} }

// Write is for a line without a level.
func (w *Writer) Write(line []byte) (int, error) { return w.WriteLevel(zerolog.InfoLevel, line) }

// WriteLevel implements zerolog.LevelWriter.
func (w *Writer) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	message, fields, err := decode(line)
	if err == nil {
		err = w.Send(message, priority(level), fields)
	}
	if err != nil {
		return w.Fallback.Write(line)
	}
	return len(line), nil
}

// decode makes fields of one of zerolog's lines. The error that it tells of is part of the message, which
// is all that `journalctl` shows.
func decode(line []byte) (message string, fields map[string]string, err error) {
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal(bytes.TrimSpace(line), &values); err != nil {
		return "", nil, fmt.Errorf("cannot understand a line of the log: %v", err)
	}
	fields = map[string]string{"SYSLOG_IDENTIFIER": identifier}
	for name, value := range values {
		text := string(value)
		if s := ""; json.Unmarshal(value, &s) == nil {
			text = s
		}
		switch name {
		case zerolog.MessageFieldName:
			message = text
		case zerolog.LevelFieldName, zerolog.TimestampFieldName: // the journal has its own
		default:
			fields[field(name)] = text
		}
	}
	if problem := fields[field(zerolog.ErrorFieldName)]; problem != "" && !strings.Contains(message, problem) {
		message += ": " + problem
	}
	if id := MessageID(api.EventKind(fields[field(api.FieldKind)])); id != "" {
		fields["MESSAGE_ID"] = id
	}
	return message, fields, nil
}

// field is the journal's name of one of zerolog's fields.
func field(name string) string {
	return prefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// priority is a level in syslog's words, which `journalctl -p` takes.
func priority(level zerolog.Level) journal.Priority {
	switch {
	case level <= zerolog.DebugLevel:
		return journal.PriDebug
	case level == zerolog.InfoLevel, level == zerolog.NoLevel:
		return journal.PriInfo
	case level == zerolog.WarnLevel:
		return journal.PriWarning
	case level == zerolog.ErrorLevel:
		return journal.PriErr
	}
	return journal.PriCrit
}
