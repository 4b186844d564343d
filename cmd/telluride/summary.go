package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/stage"
)

// flowReport is how a flow ended. Its JSON form is stable.
type flowReport struct {
	Flow        string        `json:"flow"`
	File        string        `json:"file"`
	Version     string        `json:"version"`
	Outcome     string        `json:"outcome"`
	Error       string        `json:"error,omitempty"`
	Elapsed     float64       `json:"elapsed_seconds"`
	Records     uint64        `json:"records"`
	Results     uint64        `json:"results"`
	Rate        float64       `json:"records_per_second"`
	Restarts    int           `json:"restarts"`
	Unsaved     uint64        `json:"unacknowledged"`
	DeadLetters uint64        `json:"dead_letters"`
	DeadTo      string        `json:"dead_letters_to,omitempty"`
	Late        uint64        `json:"late"`
	LateTo      string        `json:"late_to,omitempty"`
	Balanced    bool          `json:"balanced"`
	Stages      []stageReport `json:"stages"`

	elapsed string
}

// stageReport is a row of the ledger.
type stageReport struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	In       uint64 `json:"in"`
	Passed   uint64 `json:"passed"`
	Absorbed uint64 `json:"absorbed"`
	Filtered uint64 `json:"filtered"`
	Late     uint64 `json:"late"`
	Dead     uint64 `json:"dead"`
	Held     int64  `json:"held"`
	Emitted  uint64 `json:"emitted"`
	Expired  uint64 `json:"expired,omitempty"`
	Balanced bool   `json:"balanced"`

	// idle is a place for dead letters or late records that got none: the
	// table leaves it out.
	idle bool
}

func reportOf(f *engine.Flow, asked bool) flowReport {
	s, t := f.Summary(), totalsOf(f)
	how, err := outcome(f, asked)
	r := flowReport{
		Flow: f.Current().Name, File: f.Current().File, Version: f.Current().Version, Outcome: how,
		Elapsed: s.Elapsed.Seconds(), elapsed: lasting(s.Elapsed),
		Records: t.records, Results: t.results, Rate: mean(t.records, s.Elapsed),
		Restarts: s.Restarts, Unsaved: s.Unsaved, DeadLetters: s.Lettered, Late: t.late,
		Balanced: true, Stages: []stageReport{},
	}
	if err != nil {
		r.Error = err.Error()
	}
	if s.Lettered > 0 && f.Current().Dead != nil {
		r.DeadTo = sinkText(f.Current().Dead.Kind, f.Current().Dead.Spec)
	}
	if t.late > 0 && f.Current().Late != nil {
		r.LateTo = sinkText(f.Current().Late.Kind, f.Current().Late.Spec)
	}
	for _, row := range f.Ledger.Rows() {
		c := row.Counts()
		ok := c.Balanced()
		r.Balanced = r.Balanced && ok
		r.Stages = append(r.Stages, stageReport{
			Kind: row.Kind, Name: row.Name, In: c.In, Passed: c.Passed, Absorbed: c.Absorbed, Filtered: c.Filtered,
			Late: c.Late, Dead: c.Dead, Held: c.Held, Emitted: c.Emitted, Expired: c.Expired, Balanced: ok,
			idle: c.In == 0 && row.Kind == "sink" && isSide(f, row.Name),
		})
	}
	return r
}

func sinkText(kind string, spec stage.SinkSpec) string {
	if spec.Text != "" {
		return spec.Text
	}
	return kind
}

// summary is one line: how the flow ended and what went through it.
func (r *flowReport) summary() string {
	in := plural(int(r.Records), "record") + " in"
	if r.Elapsed >= 0.1 { // the rate of less would be that of starting up
		in += " (" + perSecond(r.Rate) + ")"
	}
	line := fmt.Sprintf("%s: %s after %s: %s, %s out", r.Flow, r.Outcome, r.elapsed, in, plural(int(r.Results), "record"))
	if r.Restarts > 0 {
		line += ", " + plural(r.Restarts, "restart")
	}
	return line
}

// notes are the lines about what went another way than the flow's.
func (r *flowReport) notes() []string {
	var notes []string
	if r.Error != "" {
		notes = append(notes, "error: "+r.Error)
	}
	if r.DeadLetters > 0 {
		letters := plural(int(r.DeadLetters), "dead letter")
		if r.Late > 0 && r.LateTo == "" {
			letters += fmt.Sprintf(" (%s of them late)", thousands(r.Late))
		}
		notes = append(notes, letters+to(r.DeadTo, "rejected to where they came from"))
	}
	if r.Late > 0 && (r.LateTo != "" || r.DeadLetters == 0) {
		notes = append(notes, plural(int(r.Late), "late record")+to(r.LateTo, "among the dead letters"))
	}
	for _, s := range r.Stages {
		if s.Expired > 0 {
			notes = append(notes, fmt.Sprintf("%s: %s expired", s.Name, plural(int(s.Expired), "idle key")))
		}
	}
	if r.Unsaved > 0 && r.Outcome != unread {
		notes = append(notes, plural(int(r.Unsaved), "record")+" read and not acknowledged: results of them may be missing, or come again with the next run")
	}
	if !r.Balanced {
		notes = append(notes, "the ledger does not balance in the rows marked !")
	}
	return notes
}

func to(place, otherwise string) string {
	if place == "" {
		return ", " + otherwise
	}
	return " → " + place
}

// table writes the rows of the ledger.
func (r *flowReport) table(colour bool) string {
	rows := [][]string{{"", "stage", "in", "passed", "absorbed", "filtered", "late", "dead", "held", "emitted"}}
	for _, s := range r.Stages {
		if s.idle {
			continue
		}
		mark := ""
		if !s.Balanced {
			mark = "!"
		}
		name := s.Name
		if s.Kind != s.Name {
			name = s.Kind + " " + s.Name
		}
		row := []string{mark, name}
		for _, n := range []uint64{s.In, s.Passed, s.Absorbed, s.Filtered, s.Late, s.Dead} {
			row = append(row, thousands(n))
		}
		held := thousands(uint64(max(s.Held, 0)))
		if s.Held < 0 {
			held = "-" + thousands(uint64(-s.Held))
		}
		rows = append(rows, append(row, held, thousands(s.Emitted)))
	}
	return align(rows, colour)
}

const (
	dim   = "\x1b[2m"
	boldW = "\x1b[1m"
	redW  = "\x1b[31m"
	plain = "\x1b[0m"
)

// align sets rows in columns: the second to the left, numbers to the right.
// In colour the heading and zeros are dim, so that what happened stands out.
func align(rows [][]string, colour bool) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		line := ""
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			text := cell
			if colour && (n == 0 || cell == "0") {
				text = dim + cell + plain
			} else if colour && cell == "!" {
				text = redW + cell + plain
			}
			switch i {
			case 0:
				line += pad + text + " "
			case 1:
				line += text + pad
			default:
				line += "  " + pad + text
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// writeSummary writes how the flows ended: as table, line or json.
func writeSummary(w io.Writer, reports []flowReport, form string, colour bool) {
	if form == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(struct {
			Flows []flowReport `json:"flows"`
		}{reports})
		return
	}
	var b strings.Builder
	for i, r := range reports {
		if form == "table" && i > 0 {
			b.WriteString("\n")
		}
		line := r.summary()
		if colour {
			name, rest, _ := strings.Cut(line, ":")
			line = boldW + name + ":" + plain + rest
		}
		b.WriteString(line + "\n")
		if form == "table" || !r.Balanced {
			b.WriteString(r.table(colour))
		}
		for _, note := range r.notes() {
			b.WriteString("  " + note + "\n")
		}
	}
	_, _ = io.WriteString(w, b.String())
}
