package flowtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// instrument makes a plan that has just been compiled one for a test: memory
// in place of its sources and sinks, mocks in place of stages, and taps that
// see the records pass. Everything else is the plan as it is.
func (b *Bench) instrument(p *plan.Plan) {
	for i := range p.Sources {
		s := &p.Sources[i]
		s.Spec = b.source(s.Name).spec(s.Spec, p)
	}
	for _, s := range p.AllSinks() {
		s.Spec = b.inbox("sink " + s.Name).spec(s.Spec)
	}
	for _, s := range []*plan.Sink{p.Dead, p.Late} {
		if s != nil {
			s.Spec = b.inbox("sink " + s.Name).spec(s.Spec)
		}
	}
	b.letters(p)
	p.Control, p.Telemetry = nil, nil // a test reaches no broker
	b.mock(p)
	p.Nodes = b.tapped(p.Nodes)
}

// letters gives dead letters a place as the program does: where the flow names
// none and a source cannot reject.
func (b *Bench) letters(p *plan.Plan) {
	if p.Dead != nil {
		return
	}
	spare := &plan.Sink{Name: "dead_letter", Kind: "memory", Spec: b.inbox("sink dead_letter").spec(stage.SinkSpec{Lazy: true})}
	if slices.ContainsFunc(p.Sources, func(s plan.Source) bool { return !s.Spec.Rejects }) {
		p.Dead = spare
	} else {
		p.Spare = spare
	}
}

func (b *Bench) mock(p *plan.Plan) {
	if len(b.setup.Mocks) == 0 {
		return
	}
	p.Stateful = false
	plan.Walk(p.Nodes, func(n plan.Node) {
		op, ok := n.(*plan.Operator)
		if !ok {
			return
		}
		if m, ok := b.setup.Mocks[op.Name]; ok {
			op.Spec = m.spec(p)
		}
		p.Stateful = p.Stateful || op.Spec.Stateful
	})
}

const tapKind = "tap"

// tapped is nodes with taps: behind every stage, and at the beginning of every
// branch.
func (b *Bench) tapped(nodes []plan.Node) []plan.Node {
	var out []plan.Node
	for _, n := range nodes {
		out = append(out, n)
		switch n := n.(type) {
		case *plan.Operator:
			out = append(out, b.tap("stage", n.Name))
		case *plan.Partition:
			if !n.Implied {
				out = append(out, b.tap("stage", n.Name))
			}
		case *plan.Route:
			for i := range n.Branches {
				br := &n.Branches[i]
				br.Nodes = append([]plan.Node{b.tap("branch", br.Name)}, b.tapped(br.Nodes)...)
			}
			if slices.ContainsFunc(n.Branches, func(br plan.Branch) bool { return len(br.Sinks) == 0 }) {
				out = append(out, b.tap("stage", n.Name))
			}
		}
	}
	return out
}

func (b *Bench) tap(kind, name string) *plan.Operator {
	t := &tap{bench: b, place: placeOf(kind + " " + name)}
	if place := kind + " " + name; b.watched[place] {
		t.inbox = b.inbox(place)
	}
	return &plan.Operator{
		Name: kind + " " + name, Kind: tapKind,
		Spec: stage.OperatorSpec{New: func() stage.Operator { return t }, RecordWise: true},
	}
}

// tap sees records pass. It has no state of its own, so lanes may share it.
type tap struct {
	bench *Bench
	place string
	inbox *inbox // nil: nobody asks for the records
}

func (t *tap) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	t.bench.passed(r.Origin, t.place)
	if t.inbox != nil {
		t.inbox.take(r)
	}
	return stage.Pass
}

// Left is a record that left the flow as a dead letter or late.
type Left struct {
	Arrival
	// Late says that it came too late, rather than that something is wrong
	// with it. A flow without a place for late ones makes dead letters of them.
	Late          bool
	Stage, Reason string
}

// left notes a record that leaves.
func (b *Bench) left(s record.Side) {
	one := Left{Arrival: b.arrival(&s.Record), Late: s.Kind == record.Late, Stage: s.Stage, Reason: s.Reason}
	if s.Record.Payload == nil && s.Record.Shape == nil {
		one.Doc = nil
	}
	b.passed(s.Record.Origin, fmt.Sprintf("%sat stage %q: %s", leftAt, s.Stage, s.Reason))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = append(b.gone, one)
}

// passed notes where a message was seen last.
func (b *Bench) passed(o record.Origin, place string) {
	m := b.message(o)
	if m == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trail[m.number] = place
}

// message is the message that a delivery is; nil for a record made anew.
func (b *Bench) message(o record.Origin) *message {
	if o.Seq == 0 {
		return nil
	}
	b.mu.Lock()
	var s *source
	if o.Source < len(b.order) {
		s = b.sources[b.order[o.Source]]
	}
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.of(o.Seq)
}

// idle is how long a source must be silent until its time follows the clock;
// 0: it never does.
func idle(p *plan.Plan, source string) time.Duration {
	for _, s := range p.Sources {
		if s.Name == source && s.Time.Idle > 0 {
			return s.Time.Idle + p.Tick
		}
	}
	return 0
}
