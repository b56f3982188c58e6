package main

import (
	"fmt"
	"io"
	"os"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/internal/journal"
)

// newLogger makes the logger that the configuration asks for. It writes to w, or to the journal.
func newLogger(c config.Log, w io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil {
		return zerolog.Nop(), fmt.Errorf("cannot log at level %q: %v", c.Level, err)
	}
	format := c.Format
	if format == "auto" {
		format = chooseFormat(w, os.Getenv("JOURNAL_STREAM"))
	}
	switch format {
	case "console":
		_, terminal := terminalWidth(w)
		w = zerolog.ConsoleWriter{Out: w, NoColor: !terminal || os.Getenv("NO_COLOR") != ""}
	case "journal":
		w = journal.New(w)
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

// chooseFormat is what "auto" means for w: console on a terminal, journal if w is the stream to the
// journal that systemd set up, json else. journalStream is JOURNAL_STREAM of the environment: device
// and inode of that stream, in decimal (systemd.exec(5)); they may be inherited by a process whose
// output goes elsewhere.
func chooseFormat(w io.Writer, journalStream string) string {
	f, ok := w.(*os.File)
	if !ok {
		return "json"
	}
	if _, terminal := terminalWidth(f); terminal {
		return "console"
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) == nil && journalStream == fmt.Sprintf("%d:%d", st.Dev, st.Ino) {
		return "journal"
	}
	return "json"
}
