package flowtest

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

// expectStep says what came of the steps before it.
type expectStep struct {
	place
	checks []check
}

// check is one expectation.
type check interface {
	check(r *run) *Failure
	// watches is the place whose records it asks for, "" for none.
	watches() string
}

func asserts(steps []step) bool {
	return slices.ContainsFunc(steps, func(s step) bool {
		e, ok := s.(*expectStep)
		return ok && len(e.checks) > 0
	})
}

// expect decodes an expectation: an expression that each record of the only
// sink fulfils, or a mapping of places to what came there.
func (f *File) expect(n *yaml.Node, at place) step {
	s := &expectStep{place: at}
	if n.Kind != yaml.MappingNode {
		s.checks = append(s.checks, f.records(n, "sink", ""))
		return s
	}
	if len(n.Content) == 0 {
		f.fail(n, "expect: nothing is expected", "write expect: {sink: [records]}, or expect: {sink: nothing}")
		return s
	}
	var one expectFields
	fields := conf.NewFields(f.scope, n, "expect")
	one.bind(fields)
	fields.Finish()
	for _, p := range []struct {
		node *yaml.Node
		kind string
	}{{one.sink, "sink"}, {one.late, "late"}, {one.dead, "dead_letter"}, {one.rejected, "rejected"}, {one.receipts, "receipts"}} {
		if p.node != nil {
			s.checks = append(s.checks, f.records(p.node, p.kind, ""))
		}
	}
	for _, p := range []struct {
		node *yaml.Node
		kind string
	}{{one.sinks, "sink"}, {one.branches, "branch"}, {one.stages, "stage"}} {
		f.each(p.node, p.kind, func(name conf.Text, value *yaml.Node) {
			r := f.records(value, p.kind, name.Value)
			r.nameSpan = name.Span
			s.checks = append(s.checks, r)
		})
	}
	s.checks = append(s.checks, f.counts(&one)...)
	return s
}

// expectFields are the places that can be asked for.
type expectFields struct {
	sink, sinks, branches, stages, late, dead, rejected, receipts *yaml.Node
	ledger, unacknowledged                                        *yaml.Node
	state                                                         string
	reason                                                        conf.Text
	stateSpan                                                     diag.Span
}

func (e *expectFields) bind(f *conf.Fields) {
	records := recordsSchema()
	named := map[string]any{"type": "object", "additionalProperties": records}
	f.Node(&e.sink, "sink", "What came to the flow's only sink since it was asked for last.").Schema(records)
	f.Node(&e.sinks, "sinks", "What came to sinks, by their names.").Schema(named)
	f.Node(&e.branches, "branches", "What came into branches of routes, by their names.").Schema(named)
	f.Node(&e.stages, "stages", "What left stages, by their names.").Schema(named)
	f.Node(&e.late, "late", "The records that came too late, in a flow with late:.").Schema(records)
	f.Node(&e.dead, "dead_letter", "The dead letters: stage, reason, and record as it was. Those of a source that rejects deliveries are among them.").Schema(records)
	f.Node(&e.rejected, "rejected", "The messages that sources were told to reject, since the beginning, each behind record.").Schema(records)
	f.Node(&e.receipts, "receipts", "The answers to reload: outcome, reason, stages and what else a receipt has.").Schema(records)
	f.Node(&e.ledger, "ledger", "Counts of stages, sources and sinks by their names, since the flow was started: in, passed, absorbed, filtered, late, dead, held, emitted.").Schema(map[string]any{
		"type": "object", "additionalProperties": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "integer"}},
	})
	f.Node(&e.unacknowledged, "unacknowledged", "How many messages are not acknowledged: a number, or one for each source.").Schema(map[string]any{"type": []any{"integer", "object"}})
	f.Enum(&e.state, "state", "", []string{"running", "ended", "failed", "stopped"}, "How the flow stands.")
	f.Text(&e.reason, "reason", "", "A part of the reason why it failed.").NotEmpty()
	e.stateSpan = f.SpanOf("state")
	f.Check(func() (message, advice string) {
		if e.reason.Value != "" && e.state != "failed" {
			return "reason is for state: failed", "add state: failed"
		}
		return "", ""
	})
}

// each calls do for every entry of a mapping of names.
func (f *File) each(n *yaml.Node, what string, do func(name conf.Text, value *yaml.Node)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.fail(n, fmt.Sprintf("expected a mapping of the names of %s to what came there", plurals[what]), "write NAME: […]")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		do(conf.Text{Value: n.Content[i].Value, Span: f.scope.Span(n.Content[i])}, n.Content[i+1])
	}
}

var plurals = map[string]string{"sink": "sinks", "branch": "branches", "stage": "stages", "source": "sources", "ledger": "stages"}

// records is an expectation of what came to one place.
type records struct {
	kind, name string
	span       diag.Span
	nameSpan   diag.Span // of name, where it is given

	want      []wanted
	listed    bool // records: is given
	any       bool // in any order
	per       string
	whole     bool
	tolerance float64
	count     int // -1: not given
	all       *condition
	golden    conf.Text
	path      string // of golden
	node      *yaml.Node
}

// wanted is one record: a document, or an expression that it fulfils.
type wanted struct {
	span diag.Span
	doc  any
	cond *condition
	text string
}

// nothing says in words that nothing came.
const nothing = "nothing"

func (f *File) records(n *yaml.Node, kind, name string) *records {
	r := &records{kind: kind, name: name, span: f.scope.Span(n), count: -1, tolerance: defaultTolerance, node: n}
	switch {
	case n.Kind == yaml.SequenceNode:
		f.list(r, n)
	case n.Kind == yaml.MappingNode:
		f.options(r, n)
	case n.Value == nothing:
		r.listed = true
	case n.ShortTag() == "!!str" && n.Value != "":
		r.all = f.condition("expect", conf.Text{Value: n.Value, Span: f.scope.Span(n)})
	default:
		f.fail(n, fmt.Sprintf("expect: expected a list of records, got %q", n.Value), "write a list, an expression, or nothing")
	}
	return r
}

// list decodes the records that are wanted.
func (f *File) list(r *records, n *yaml.Node) {
	r.listed = true
	for _, item := range n.Content {
		w := wanted{span: f.scope.Span(item)}
		if item.Kind == yaml.ScalarNode && item.ShortTag() == "!!str" {
			w.text = item.Value
			w.cond = f.condition("expect", conf.Text{Value: item.Value, Span: w.span})
		} else {
			doc := f.json(item)
			w.doc, w.text = parseDoc(doc), string(doc)
		}
		r.want = append(r.want, w)
	}
}

// optionFields are the keys of the long form.
type optionFields struct {
	list  *yaml.Node
	order string
	all   conf.Expr
}

func (o *optionFields) bind(f *conf.Fields, r *records) {
	f.Node(&o.list, "records", "The records, each with the fields that matter; a text is an expression that the record fulfils.").Schema(map[string]any{"type": "array"})
	f.Enum(&o.order, "order", "exact", []string{"exact", "any"}, "exact: as they came, where records of one key keep their order and those of several keys are in the order of what was fed. any: in any order.")
	f.String(&r.per, "per", "", "A field: only records that are equal in it have to be in order.")
	f.Bool(&r.whole, "whole", false, "Records have no other fields than those that are named.")
	f.Float(&r.tolerance, "tolerance", defaultTolerance, "How far numbers with decimals may be off.").Min(0)
	f.Int(&r.count, "count", -1, "How many records came.").Min(0).Optional()
	f.Expr(&o.all, "all", "An expression that every record fulfils; there has to be one.")
	f.Text(&r.golden, "golden", "", "A file of the records that came, whole, one a line; relative to the folder of this file. --update writes it.").NotEmpty()
	f.AtMostOne("records", "golden")
}

func (f *File) options(r *records, n *yaml.Node) {
	var o optionFields
	fields := conf.NewFields(f.scope, n, "expect")
	o.bind(fields, r)
	given := o.list != nil || fields.Given("count") || o.all.Given() || r.golden.Value != ""
	if !given && !fields.Failed() {
		fields.Fail(fields.Pos(), "it does not say what is expected", "give records:, count:, all: or golden:")
	}
	fields.Finish()
	r.any = o.order == "any"
	if !fields.Given("count") {
		r.count = -1
	}
	if o.all.Given() {
		r.all = f.condition("expect", o.all.Text)
	}
	switch {
	case o.list == nil:
	case o.list.Kind != yaml.SequenceNode:
		f.fail(o.list, "records: expected a list", `start each with "- "`)
	default:
		r.node = o.list
		f.list(r, o.list)
	}
	if r.golden.Value != "" {
		r.path = f.beside(r.golden.Value)
	}
}

func (r *records) watches() string {
	if r.kind == "stage" || r.kind == "branch" {
		return r.kind + " " + r.name
	}
	return ""
}

// title names the place in messages.
func (r *records) title(name string) string {
	if name == "" {
		return strings.ReplaceAll(r.kind, "_", " ")
	}
	return r.kind + " " + name
}
