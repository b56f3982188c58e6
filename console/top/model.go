// Package top is `relinkd top`: one target's copies as bars, live, with what has happened below them. What
// is shown is a pure function of the messages that a Model has got. It must never change anything but by
// the one key for a rotation, and that not before a question is answered.
package top

import (
	"context"
	"fmt"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"relinkd/api"
	"relinkd/console"
)

// Daemon is what a Model asks for. api.Service is one.
type Daemon interface {
	Status(ctx context.Context) (*api.Status, error)
	Events(ctx context.Context, target string, after uint64) ([]api.Event, error)
	Follow(ctx context.Context, target string, after uint64, tell func(api.Event) error) error
	Rotate(ctx context.Context, target string, to int) (*api.Report, error)
}

// Model is all that is shown. Only Update makes another one of it.
type Model struct {
	daemon Daemon // for the commands that Update returns
	screen console.Screen
	height int

	status *api.Status
	taken  time.Time // when status was
	rates  map[string]rate
	lost   error     // why the daemon does not answer; nil if it does
	since  time.Time // when it was first missed

	target string // its name; one that is there no more counts as the first
	byLoad bool   // the fullest copies first, else by number
	first  int    // line of copies that is shown first
	asking bool   // whether to rotate
	notice notice // what came of the last key
	help   bool
	log    log
}

// notice is a text for the last line, until the next key.
type notice struct {
	text string
	tone console.Tone
}

// The messages that a Model understands, beside the terminal's.
type (
	// statusMsg is what the daemon has answered, or why it has not.
	statusMsg struct {
		status *api.Status
		err    error
		at     time.Time
	}
	// askMsg means that it is time to ask the daemon for its status again.
	askMsg struct{}
	// eventsMsg is what has happened, in its order; what the Model knows already may be among it.
	eventsMsg []api.Event
	// rotatedMsg is what came of a rotation.
	rotatedMsg struct {
		report *api.Report
		err    error
	}
)

// interval is the time between an answer and the next question.
const interval = time.Second

// patience is how long an answer may take before the daemon counts as gone.
const patience = 5 * time.Second

// New makes a Model that begins with a status.
func New(d Daemon, screen console.Screen, st *api.Status) Model {
	m := Model{daemon: d, screen: screen, height: 24, rates: map[string]rate{}}
	m.take(statusMsg{status: st, at: screen.Now})
	return m
}

// Init is the first command.
func (m Model) Init() tea.Cmd { return askLater() }

// Update is what a message makes of m.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var next tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.screen.Width, m.height = max(1, msg.Width), max(1, msg.Height)
	case tea.KeyPressMsg:
		next = m.key(msg.String())
	case statusMsg:
		m.take(msg)
		next = askLater()
	case askMsg:
		return m, m.ask()
	case eventsMsg:
		m.log = m.log.with(msg)
	case rotatedMsg:
		m.tell(msg)
	}
	m.first = min(max(0, m.first), m.lastLine())
	return m, next
}

// take notes an answer, or that there is none.
func (m *Model) take(msg statusMsg) {
	m.screen.Now = msg.at
	switch {
	case msg.err != nil && m.lost == nil:
		m.lost, m.since = msg.err, msg.at
		m.log = m.log.with([]api.Event{{Time: msg.at, Kind: api.EventError, Message: "relinkd does not answer"}})
		m.asking, m.notice = false, notice{} // what is wrong is to be read now
		return
	case msg.err != nil:
		m.lost = msg.err
		return
	case m.lost != nil:
		m.log = m.log.with([]api.Event{{Time: msg.at, Kind: api.EventManage, Message: fmt.Sprintf(
			"relinkd answers again, after %s", msg.at.Sub(m.since).Round(time.Second))}})
		m.lost, m.notice = nil, notice{}
		m.rates = map[string]rate{}
	}
	m.status, m.taken = msg.status, msg.at
	rates := map[string]rate{}
	for _, t := range m.status.Targets {
		rates[t.Name] = m.rates[t.Name].with(t.Rotations, msg.at)
	}
	m.rates = rates
}

// tell notes what came of a rotation.
func (m *Model) tell(msg rotatedMsg) {
	switch {
	case msg.err != nil:
		m.notice = notice{"not rotated: " + msg.err.Error(), console.Bad}
	case len(msg.report.Done) > 0:
		m.notice = notice{msg.report.Target + ": " + msg.report.Done[0], console.Good}
	}
}

// shown is the target that is shown, and its number among all; nil if there is none.
func (m Model) shown() (t *api.TargetStatus, number int) {
	if len(m.status.Targets) == 0 {
		return nil, 0
	}
	at := slices.IndexFunc(m.status.Targets, func(t api.TargetStatus) bool { return t.Name == m.target })
	at = max(0, at)
	return &m.status.Targets[at], at
}

// copies is the copies of t in the order in which they are shown.
func (m Model) copies(t *api.TargetStatus) []api.CopyStatus {
	if !m.byLoad {
		return t.Copies
	}
	sorted := slices.Clone(t.Copies)
	slices.SortStableFunc(sorted, func(a, b api.CopyStatus) int { return b.Processes - a.Processes })
	return sorted
}

// ask is the command that asks the daemon for its status.
func (m Model) ask() tea.Cmd {
	daemon := m.daemon
	return func() tea.Msg {
		ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no answer within %v", patience))
		defer cancel()
		st, err := daemon.Status(ctx)
		return statusMsg{st, err, time.Now()}
	}
}

func askLater() tea.Cmd { return tea.Tick(interval, func(time.Time) tea.Msg { return askMsg{} }) }

// rotate is the command that lets new processes of a target run another copy.
func (m Model) rotate(target string) tea.Cmd {
	daemon := m.daemon
	return func() tea.Msg {
		report, err := daemon.Rotate(context.Background(), target, 0)
		return rotatedMsg{report, err}
	}
}
