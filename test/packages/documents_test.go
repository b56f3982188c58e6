package packages_test

import (
	"strings"
	"testing"

	"relinkd/internal/transcript"
)

// documents: what the documentation shows of a Debian system happens, word for word but for numbers, in the
// order of the documents and beside a Cyrus that serves a few sessions.
func (s *tale) documents(t *testing.T) {
	m := s.machine
	m.must(t, "apt-get install -y -q --no-download curl && systemctl restart cyrus-imapd")
	m.serves(t)
	m.must(t, "mkdir /root/dist && ln -s ../relinkd_"+older+".deb /root/dist/relinkd_"+older+"-1_amd64.deb")
	held := m.hold(t, 5)
	m.document(t, "README.md")
	m.without(t)
	// METRICS.md is for who has installed it and manages a target.
	m.must(t, "apt-get install -y -q /root/relinkd_"+older+".deb && relinkd manage imapd --yes </dev/null")
	m.document(t, "docs/METRICS.md")
	alive(t, held)
}

// without checks that relinkd's package is removed and nothing is left of what it did.
func (m *machine) without(t *testing.T) {
	t.Helper()
	m.unmanaged(t)
	if out, code := m.run(t, "command -v relinkd"); code == 0 {
		t.Errorf("relinkd is installed: %s", out)
	}
}

// document runs the transcripts of a document that show a Debian system, at a terminal of 120 columns at
// which every question is answered with yes.
func (m *machine) document(t *testing.T, name string) {
	t.Helper()
	blocks, err := transcript.Read("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, b := range blocks {
		if b.Where != "debian" {
			continue
		}
		for _, s := range b.Steps {
			out, _ := m.run(t, "cd /root && export NO_COLOR=1 && echo yes | script -E never -qec "+quoted("stty cols 120; "+s.Command)+" /dev/null")
			// What a terminal would show of the answer, at the place where it is given.
			out = strings.NewReplacer("\r", "", "[yes/no] ", "[yes/no] yes\n").Replace(out)
			if err := s.Compare(out); err != nil {
				t.Error(err)
			}
			commands++
		}
	}
	if commands == 0 {
		t.Errorf("%s has no transcript of a Debian system", name)
	}
}

// quoted is text as one word for a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
