package flowtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

// step is one step of a script.
type step interface {
	// run does it. An error ends the script.
	run(r *run) error
	at() diag.Span
}

// place is where a step stands.
type place struct{ span diag.Span }

func (p place) at() diag.Span { return p.span }

// kinds of steps, in the order of the reference.
var stepNames = []string{
	"feed", "advance", "at", "idle", "expect", "reload", "crash", "lose_session", "sink_fails", "drain", "end", "start",
}

// words are the steps that may stand without a value.
var words = []string{"crash", "lose_session", "drain", "end", "start", "idle"}

// steps decodes a script.
func (f *File) steps(n *yaml.Node) []step {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		f.fail(n, "steps: expected a list of steps", `write "- feed: …" and "- expect: …"`)
		return nil
	}
	var all []step
	for _, item := range n.Content {
		if s := f.step(item); s != nil {
			all = append(all, s)
		}
	}
	return all
}

func (f *File) step(n *yaml.Node) step {
	var name string
	var value *yaml.Node
	key := n
	switch {
	case n.Kind == yaml.ScalarNode:
		name = n.Value
	case n.Kind == yaml.MappingNode && len(n.Content) == 2:
		key, value = n.Content[0], n.Content[1]
		name = key.Value
	case n.Kind == yaml.MappingNode && len(n.Content) > 2:
		f.fail(n.Content[2], fmt.Sprintf("%q and %q are two steps in one entry", n.Content[0].Value, n.Content[2].Value), `give each an entry of its own, behind a "- "`)
		return nil
	default:
		f.fail(n, "expected a step", "write one of "+strings.Join(stepNames, ", "))
		return nil
	}
	if value != nil && value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null" {
		value = nil
	}
	if !slices.Contains(stepNames, name) {
		advice := "known: " + strings.Join(stepNames, ", ")
		if near := diag.Suggest(name, stepNames); near != "" {
			advice = fmt.Sprintf("did you mean %q?", near)
		}
		f.fail(key, fmt.Sprintf("unknown step %q", name), advice)
		return nil
	}
	if value == nil && !slices.Contains(words, name) {
		f.fail(key, name+" needs a value", "see docs/testing.md")
		return nil
	}
	return f.decodeStep(name, value, place{f.scope.Span(key)})
}

func (f *File) decodeStep(name string, n *yaml.Node, at place) step {
	switch name {
	case "feed":
		return f.feed(n, at)
	case "advance", "at":
		return f.timeStep(name, n, at)
	case "idle":
		return &idleStep{at, f.name(n, "the name of a source")}
	case "expect":
		return f.expect(n, at)
	case "reload":
		return f.change(n, at, true)
	case "start":
		return f.change(n, at, false)
	case "crash":
		f.bare(name, n)
		return &crashStep{at}
	case "drain":
		f.bare(name, n)
		return &drainStep{at}
	case "lose_session":
		return &loseStep{at, f.name(n, "the name of a source")}
	case "end":
		return &endStep{at, f.name(n, "the name of a source")}
	}
	return f.sinkFails(n, at)
}

// bare refuses a value.
func (f *File) bare(name string, n *yaml.Node) {
	if n != nil && !(n.Kind == yaml.MappingNode && len(n.Content) == 0) {
		f.fail(n, name+" takes no value", "write - "+name)
	}
}

// name is a name, or nothing.
func (f *File) name(n *yaml.Node, what string) conf.Text {
	if n == nil || n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		return conf.Text{}
	}
	if n.Kind != yaml.ScalarNode {
		f.fail(n, "expected "+what, "")
	}
	return conf.Text{Value: n.Value, Span: f.scope.Span(n)}
}

// duration reads a time such as 10s or +1m30s.
func (f *File) duration(what string, n *yaml.Node) time.Duration {
	d, err := conf.ParseDuration(strings.TrimPrefix(n.Value, "+"))
	if n.Kind != yaml.ScalarNode || err != nil {
		f.fail(n, fmt.Sprintf("%s: expected a time such as 10s, got %q", what, n.Value), "")
	}
	return d
}

type timeStep struct {
	place
	d    time.Duration
	from bool // the beginning of the script rather than now
}

func (f *File) timeStep(name string, n *yaml.Node, at place) step {
	return &timeStep{at, f.duration(name, n), name == "at"}
}

func (s *timeStep) run(r *run) error {
	if !s.from {
		return r.bench.Advance(s.d)
	}
	if now := r.bench.Elapsed(); s.d < now {
		return fmt.Errorf("at: %s is over, it is %s by now", conf.FormatDuration(s.d), conf.FormatDuration(now))
	}
	return r.bench.MoveTo(s.d)
}

type idleStep struct {
	place
	source conf.Text
}

func (s *idleStep) run(r *run) error {
	name, err := r.source(s.source)
	if err != nil {
		return err
	}
	return r.bench.Idle(name)
}

type crashStep struct{ place }

func (s *crashStep) run(r *run) error { return r.restarted(r.bench.Crash()) }

type drainStep struct{ place }

func (s *drainStep) run(r *run) error { return r.bench.Drain() }

type loseStep struct {
	place
	source conf.Text
}

func (s *loseStep) run(r *run) error {
	name, err := r.source(s.source)
	if err != nil {
		return err
	}
	return r.bench.LoseSession(name)
}

type endStep struct {
	place
	source conf.Text
}

func (s *endStep) run(r *run) error {
	if s.source.Value == "" {
		return r.bench.End(r.bench.Sources()...)
	}
	name, err := r.source(s.source)
	if err != nil {
		return err
	}
	return r.bench.End(name)
}

type sinkStep struct {
	place
	sink   conf.Text
	outage Outage
}

func (f *File) sinkFails(n *yaml.Node, at place) step {
	s := &sinkStep{place: at}
	var kind string
	var when conf.Expr
	fields := conf.NewFields(f.scope, n, "sink_fails")
	bindSinkFails(fields, s, &kind, &when)
	fields.Finish()
	s.outage.Permanent = kind == "permanent"
	if when.Given() {
		if c := f.condition("sink_fails", when.Text); c != nil {
			s.outage.Only = func(doc []byte) bool {
				ok, _ := c.holds(doc) // what the expression says nothing of is taken
				return ok
			}
		}
	}
	return s
}

func bindSinkFails(f *conf.Fields, s *sinkStep, kind *string, when *conf.Expr) {
	f.Text(&s.sink, "sink", "", "The name of the sink; may be left out where the flow has one. dead_letter and late have these names.")
	f.Int(&s.outage.Times, "times", 1, "How many writes fail, or, with permanent, how many records are refused. 0 ends an outage.").Min(0)
	f.Enum(kind, "error", "transient", []string{"transient", "permanent"}, "transient: the write is tried again, with back-off. permanent: the record is a dead letter.")
	f.String(&s.outage.Reason, "reason", "the test says so", "The text of the error.")
	f.Expr(when, "when", "Which records are refused. Default: any.")
}

func (s *sinkStep) run(r *run) error {
	name, err := r.sink(s.sink)
	if err != nil {
		return err
	}
	r.bench.Fail(name, s.outage)
	return nil
}
