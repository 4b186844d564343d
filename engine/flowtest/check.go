package flowtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Failure is an expectation that was not met, or a step that failed.
type Failure struct {
	Span        diag.Span
	Message     string
	Differences []Difference
}

// Difference is one thing that is not as expected.
type Difference struct {
	Span    diag.Span
	Title   string
	Lines   []Line
	Comment string // what else is known of it
}

// Line is one line of a difference: ' ' for what is as expected, '-' for what
// was expected, '+' for what came.
type Line struct {
	Sign byte
	Text string
}

// shown bounds the differences of one expectation that are told.
const shown = 10

// check compares what came to a place with what is wanted there.
func (r *records) check(run *run) *Failure {
	name, arrivals, err := r.take(run)
	if err != nil {
		span := r.span
		if r.nameSpan.File != "" {
			span = r.nameSpan
		}
		return &Failure{Span: span, Message: err.Error()}
	}
	f := &Failure{Span: r.span}
	if r.path != "" {
		own := *r // the variants of a matrix share the step, and run at once
		r = &own
		if err := r.readGolden(run, arrivals); err != nil {
			f.Message = err.Error()
			return f
		}
	}
	r.compareAll(run, f, arrivals)
	if r.count >= 0 && r.count != len(arrivals) {
		f.Differences = append(f.Differences, Difference{Span: r.span, Title: "the count differs", Lines: []Line{
			{'-', plural(r.count, "record")}, {'+', plural(len(arrivals), "record")},
		}})
	}
	if r.all != nil {
		r.checkAll(f, arrivals)
	}
	if len(f.Differences) == 0 || run.update && r.takeOver(run, arrivals) {
		return nil
	}
	if f.Message == "" {
		f.Message = fmt.Sprintf("%s: %s", r.title(name), r.summary(f, len(arrivals)))
	}
	if n := len(f.Differences); n > shown {
		f.Differences = f.Differences[:shown]
		f.Differences[shown-1].Comment = fmt.Sprintf("and %s", plural(n-shown, "more difference"))
	}
	return f
}

// summary says in a line how what came is unlike what was expected.
func (r *records) summary(f *Failure, got int) string {
	want := len(r.want)
	switch {
	case !r.listed:
		return plural(got, "record") + " came, not as expected"
	case want == 0:
		return fmt.Sprintf("nothing was expected, and %s came", plural(got, "record"))
	case want == got:
		return fmt.Sprintf("%d of %s differ", len(f.Differences), plural(got, "record"))
	}
	return fmt.Sprintf("%s expected, %d came", plural(want, "record"), got)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// take hands over what came to the place, and the place's name.
func (r *records) take(run *run) (name string, all []Arrival, err error) {
	b := run.bench
	switch r.kind {
	case "sink":
		if name, err = run.sinkNamed(r.name); err != nil {
			return "", nil, err
		}
		return name, b.Take("sink " + name), nil
	case "stage", "branch":
		if err := run.known(r.kind, r.name); err != nil {
			return "", nil, err
		}
		return r.name, b.Take(r.kind + " " + r.name), nil
	case "late":
		if b.Plan().Late == nil {
			return "", nil, errors.New("late: the flow has no late:, so records that come too late are dead letters")
		}
		for _, l := range b.TakeLate() {
			all = append(all, l.Arrival)
		}
	case "dead_letter":
		b.Take("sink dead_letter") // the same letters, as the sink has them
		for _, l := range b.TakeDead() {
			l.Doc = letter(&l)
			all = append(all, l.Arrival)
		}
	case "rejected":
		for _, source := range b.Sources() {
			for _, m := range b.Rejected(source) {
				all = append(all, Arrival{Doc: encoded(letterDoc{Record: embedded(m.Payload)})})
			}
		}
	case "receipts":
		for _, receipt := range b.TakeReceipts() {
			doc, err := json.Marshal(receipt)
			if err != nil {
				return "", nil, err
			}
			all = append(all, Arrival{Doc: doc})
		}
	}
	return "", all, nil
}

// letterDoc is a dead letter as a document, or a message that was rejected.
type letterDoc struct {
	Stage  string `json:"stage,omitempty"`
	Reason string `json:"reason,omitempty"`
	Record any    `json:"record,omitempty"`
}

func letter(l *Left) []byte { return encoded(letterDoc{l.Stage, l.Reason, embedded(l.Doc)}) }

// embedded is a document inside another; text where it is no JSON.
func embedded(doc []byte) any {
	switch {
	case doc == nil:
		return nil
	case json.Valid(doc):
		return json.RawMessage(doc)
	}
	return string(doc)
}

func encoded(d letterDoc) []byte {
	text, err := json.Marshal(d)
	if err != nil {
		return []byte(err.Error()) // which names what cannot be shown
	}
	return text
}

// compareAll compares the records one by one, where some are listed.
func (r *records) compareAll(run *run, f *Failure, arrivals []Arrival) {
	if !r.listed {
		return
	}
	for _, group := range r.groups(arrivals) {
		r.compareGroup(run, f, group.want, group.got)
	}
}

// group is records of which the order counts.
type group struct {
	want []*wanted
	got  []*Arrival
}

func (r *records) groups(arrivals []Arrival) []*group {
	all := &group{}
	groups := []*group{all}
	byValue := map[string]*group{}
	of := func(doc any) *group {
		if r.per == "" {
			return all
		}
		m, _ := doc.(map[string]any)
		key := render(m[r.per])
		if byValue[key] == nil {
			byValue[key] = &group{}
			groups = append(groups, byValue[key])
		}
		return byValue[key]
	}
	for i := range r.want {
		g := of(r.want[i].doc)
		g.want = append(g.want, &r.want[i])
	}
	for i := range arrivals {
		g := all
		if r.per != "" {
			g = of(parseDoc(arrivals[i].Doc))
		}
		g.got = append(g.got, &arrivals[i])
	}
	return groups
}

func (r *records) compareGroup(run *run, f *Failure, want []*wanted, got []*Arrival) {
	m := &matcher{r.whole, r.tolerance}
	type answer struct {
		done, ok bool
		off      []differ
		err      error
	}
	known := make([]answer, len(want)*len(got))
	look := func(w, g int) *answer {
		a := &known[w*len(got)+g]
		if !a.done {
			a.done = true
			a.ok, a.off, a.err = m.fits(want[w], got[g])
		}
		return a
	}
	fit := func(w, g int) bool { return look(w, g).ok }
	var pairs []pair
	if r.any {
		pairs = assign(len(want), len(got), fit, func(w, g int) int { return len(look(w, g).off) })
	} else {
		pairs = align(len(want), len(got), fit)
	}
	for _, p := range pairs {
		switch {
		case p.want < 0:
			f.Differences = append(f.Differences, r.unexpected(got[p.got]))
		case p.got < 0:
			f.Differences = append(f.Differences, r.missing(run, want[p.want]))
		case !fit(p.want, p.got):
			a := look(p.want, p.got)
			f.Differences = append(f.Differences, differing(want[p.want], got[p.got], a.off, a.err))
		}
	}
}

func (r *records) unexpected(a *Arrival) Difference {
	return Difference{Span: r.span, Title: "not expected", Lines: []Line{{'+', oneLine(a.Doc)}}, Comment: cameFrom(a)}
}

func cameFrom(a *Arrival) string {
	if a.Step == 0 {
		return ""
	}
	return fmt.Sprintf("it came at +%v", a.At)
}

func (r *records) missing(run *run, w *wanted) Difference {
	return Difference{Span: w.span, Title: "missing", Lines: []Line{{'-', w.text}}, Comment: run.trail(w)}
}

func differing(w *wanted, a *Arrival, off []differ, err error) Difference {
	d := Difference{Span: w.span, Title: "differs"}
	if w.cond != nil {
		d.Lines = []Line{{'-', w.text}, {'+', oneLine(a.Doc)}}
		if err != nil {
			d.Comment = err.Error()
		}
		return d
	}
	d.Lines = fieldDiff(w.doc, parseDoc(a.Doc), off)
	return d
}

// fieldDiff shows the record by fields: those that are wanted, and where one
// is not as wanted both values.
func fieldDiff(want, got any, off []differ) []Line {
	var lines []Line
	m, _ := want.(map[string]any)
	g, _ := got.(map[string]any)
	for _, key := range sortedKeys(m) {
		if !slices.ContainsFunc(off, func(d differ) bool { return top(d.path) == key }) {
			lines = append(lines, Line{' ', key + ": " + render(g[key])})
		}
	}
	for _, d := range off {
		label := ""
		if d.path != "" {
			label = d.path + ": "
		}
		if _, none := d.want.(absent); !none {
			lines = append(lines, Line{'-', label + render(d.want)})
		}
		if _, none := d.got.(absent); !none {
			lines = append(lines, Line{'+', label + render(d.got)})
		} else {
			lines = append(lines, Line{'+', label + "is not there"})
		}
	}
	return lines
}

// checkAll has every record fulfil an expression.
func (r *records) checkAll(f *Failure, arrivals []Arrival) {
	if len(arrivals) == 0 {
		f.Differences = append(f.Differences, Difference{Span: r.span, Title: "nothing came", Lines: []Line{{'-', r.all.text}}})
	}
	for i := range arrivals {
		ok, err := r.all.holds(arrivals[i].Doc)
		if ok {
			continue
		}
		d := Difference{Span: r.span, Title: fmt.Sprintf("record %d does not fulfil it", i+1), Lines: []Line{{'-', r.all.text}, {'+', oneLine(arrivals[i].Doc)}}}
		if err != nil {
			d.Comment = err.Error()
		}
		f.Differences = append(f.Differences, d)
	}
}

// readGolden takes the wanted records from the golden file, or writes it.
func (r *records) readGolden(run *run, arrivals []Arrival) error {
	var text []byte
	for i := range arrivals {
		text = append(append(text, oneLine(arrivals[i].Doc)...), '\n')
	}
	if run.update {
		r.want, r.listed = nil, false
		return run.write(r.path, text)
	}
	data, err := os.ReadFile(r.path)
	if err != nil {
		return fmt.Errorf("golden: %s: %w; --update writes it", r.path, cause(err))
	}
	r.want, r.listed, r.whole = nil, true, true
	for n, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		if line == "" {
			continue
		}
		at := diag.Span{File: r.path, Start: diag.Pos{Line: n + 1, Col: 1}}
		r.want = append(r.want, wanted{span: at, doc: parseDoc([]byte(line)), text: line})
	}
	return nil
}

func cause(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
