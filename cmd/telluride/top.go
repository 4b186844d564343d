package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/telluride-stream/telluride/engine/api"
)

func newTop(p *program) *cobra.Command {
	var dir string
	var once bool
	c := &cobra.Command{
		Use:   "top [FLOW]",
		Short: "Watch the flows of a running process in the terminal",
		Long: `Shows the flows of a running process and the stages of one of them, anew each
second: rates, what lanes do with their time, durations, lag. It goes on across
changes of the flows, and waits when the process does not answer.

Keys: up and down choose a flow, q ends. Where there is no terminal, or with
--once, it prints one view and ends.`,
		Example: `  telluride top
  telluride top sensor-health
  telluride top --once | head`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.top(strings.Join(args, ""), dir, once)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "print one view and end")
	stateDirFlag(c, &dir)
	return c
}

func (p *program) top(flow, dir string, once bool) error {
	ctx, cancel := p.interruptible()
	defer cancel()
	r, err := p.reach(ctx, dir, flow)
	if err != nil {
		return err
	}
	if flow != "" {
		if _, err := r.Flow(ctx, flow); err != nil {
			return failed(err)
		}
	}
	model := &topModel{ctx: ctx, client: r.Client, flow: flow, colour: p.colour(p.stdout)}
	if once || !isTerminal(p.stdout) || !p.typing() {
		next := model.ask()
		if next.err != nil {
			return failed(next.err)
		}
		model.take(next)
		_, err := io.WriteString(p.stdout, model.text())
		return failedOrNil(err)
	}
	_, err = tea.NewProgram(model, tea.WithContext(ctx), tea.WithInput(p.stdin), tea.WithOutput(p.stdout), tea.WithoutSignalHandler()).Run()
	if errors.Is(err, tea.ErrProgramKilled) || errors.Is(err, context.Canceled) {
		err = nil
	}
	return failedOrNil(err)
}

// typing says whether a person types at standard input.
func (p *program) typing() bool {
	in, ok := p.stdin.(*os.File)
	return ok && term.IsTerminal(int(in.Fd()))
}

// topModel is what top shows.
type topModel struct {
	ctx    context.Context
	client *api.Client
	colour bool

	flow          string // the chosen one; "": the first
	all           api.Metrics
	one           api.FlowMetrics
	err           error
	width, height int
}

// topAnswer is what the process told.
type topAnswer struct {
	all api.Metrics
	one api.FlowMetrics
	err error
}

type askAgain struct{}

func (m *topModel) Init() tea.Cmd { return func() tea.Msg { return m.ask() } }

// ask asks the process. It runs beside the model, of which it reads the chosen
// flow alone.
func (m *topModel) ask() topAnswer {
	ctx, cancel := context.WithTimeout(m.ctx, askTimeout)
	defer cancel()
	all, err := m.client.Metrics(ctx)
	if err != nil {
		return topAnswer{err: err}
	}
	name := m.flow
	if name == "" && len(all.Flows) > 0 {
		name = all.Flows[0].Name
	}
	one := api.FlowMetrics{}
	if name != "" {
		if one, err = m.client.FlowMetrics(ctx, name); err != nil {
			return topAnswer{all: all, err: err}
		}
	}
	return topAnswer{all: all, one: one}
}

func (m *topModel) take(next topAnswer) {
	m.err = next.err
	if next.err == nil {
		m.all, m.one, m.flow = next.all, next.one, next.one.Name
	}
}

func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topAnswer:
		m.take(msg)
		return m, tea.Tick(time.Second, func(time.Time) tea.Msg { return askAgain{} })
	case askAgain:
		return m, func() tea.Msg { return m.ask() }
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c":
			return m, tea.Quit
		case "up", "k":
			m.choose(-1)
		case "down", "j":
			m.choose(+1)
		}
	}
	return m, nil
}

func (m *topModel) choose(step int) {
	for i, f := range m.all.Flows {
		if f.Name == m.flow {
			n := min(max(0, i+step), len(m.all.Flows)-1)
			m.flow, m.one = m.all.Flows[n].Name, m.all.Flows[n]
			return
		}
	}
}

func (m *topModel) View() tea.View {
	v := tea.NewView(m.text())
	v.AltScreen = true
	return v
}

// text is the view, as wide and high as the terminal allows.
func (m *topModel) text() string {
	var b strings.Builder
	c := m.all.Machine
	fmt.Fprintf(&b, "telluride  %s  %.2f cores  %s  cpu", plural(len(m.all.Flows), "flow"), c.Process, mebibytes(c.Memory))
	for _, share := range c.CPU {
		fmt.Fprintf(&b, " %3.0f%%", share*100)
	}
	b.WriteString("\n")
	if m.err != nil {
		b.WriteString(m.paint(redW, "the process does not answer: "+m.err.Error()) + "\n")
	}
	rows := [][]string{{"", "flow", "state", "in/s", "out/s", "successful", "dead", "late", "in flight", "lag"}}
	for _, f := range m.all.Flows {
		mark := " "
		if f.Name == m.flow {
			mark = ">"
		}
		rows = append(rows, []string{
			mark, f.Name, f.State, perSecond(f.InRate), perSecond(f.OutRate), fmt.Sprintf("%.2f%%", floor2(f.Successful)),
			thousands(f.Dead), thousands(f.Late), thousands(f.Unacknowledged), lasting(inTime(f.LagMS)),
		})
	}
	b.WriteString("\n" + align(m.narrow(rows), m.colour))
	if m.one.Reason != "" {
		b.WriteString(m.paint(redW, "  "+m.one.Reason) + "\n")
	}
	if len(m.one.Stages) > 0 {
		fmt.Fprintf(&b, "\n%s\n%s", m.paint(boldW, m.one.Name), align(m.narrow(m.stages()), m.colour))
	}
	return m.fit(b.String())
}

func (m *topModel) stages() [][]string {
	rows := [][]string{{"", "stage", "lanes", "in/s", "dead", "held", "average", "idle", "busy", "blocked"}}
	for _, s := range m.one.Stages {
		name := s.Name
		if s.Kind != s.Name {
			name = s.Kind + " " + s.Name
		}
		row := []string{" ", name, fmt.Sprint(len(s.Lanes)), perSecond(s.InRate), thousands(s.Dead), thousands(uint64(max(0, s.Held)))}
		switch {
		case s.With != "":
			row = append(row, "with "+s.With, "", "", "")
		case len(s.Lanes) == 0:
			row = append(row, "", "", "", "")
		default:
			row = append(row, lasting(inTime(s.AverageMS)), share(s.Idle), share(s.Busy), share(s.Blocked))
		}
		rows = append(rows, row)
	}
	return rows
}

// narrow cuts the names of a table that is wider than the terminal, as far as
// they can still be told apart.
func (m *topModel) narrow(rows [][]string) [][]string {
	const least = 12
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	over := -m.width - 3 // align has two blanks between columns, but one before the name
	for _, w := range widths {
		over += w + 2
	}
	if m.width == 0 || over <= 0 {
		return rows
	}
	room := max(least, widths[1]-over)
	for _, row := range rows {
		if name := []rune(row[1]); len(name) > room {
			row[1] = string(name[:room-1]) + "…"
		}
	}
	return rows
}

func share(x float64) string { return fmt.Sprintf("%.0f%%", x*100) }

// floor2 is a percentage with two decimals that is 100 only when nothing is missing.
func floor2(x float64) float64 { return float64(int(x*100)) / 100 }

func inTime(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func mebibytes(n uint64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

func (m *topModel) paint(how, text string) string {
	if !m.colour {
		return text
	}
	return how + text + plain
}

// fit leaves out the lines that the terminal has no room for.
func (m *topModel) fit(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if m.height > 1 && len(lines) > m.height-1 {
		lines = append(lines[:m.height-2], "…")
	}
	return strings.Join(lines, "\n") + "\n"
}
