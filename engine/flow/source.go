package flow

import (
	"fmt"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// sourceConfig is what every source may have beside its kind.
type sourceConfig struct {
	name conf.Text
	rate struct {
		records int
		per     time.Duration
	}
	limited bool
	time    struct {
		field, layout   conf.Text
		outOfOrder      time.Duration
		idle, maxAhead  time.Duration
		outOfOrderGiven bool
		span            diag.Span
	}
	event bool
}

func (s *sourceConfig) bind(f *conf.Fields) {
	f.Text(&s.name, "name", "", "The source's name. Its position is kept under it. Default: its kind; several sources of one kind need names.")
	s.limited = f.Object("rate_limit", "The most records that the source lets through in a stretch of time.", func(f *conf.Fields) {
		f.Int(&s.rate.records, "records", 0, "The number of records.").Min(1).Required()
		f.Duration(&s.rate.per, "per", time.Second, "The stretch of time.").Min(time.Millisecond)
	}).Present()
	s.event = f.Object("time", "Where records carry the time at which they happened. Without it, their time is when they were read.", func(f *conf.Fields) {
		t := &s.time
		t.span = f.Pos()
		f.Path(&t.field, "field", "The field that holds the time.").Required()
		f.Text(&t.layout, "layout", "auto", "How the time is written: rfc3339, unix (seconds), unix_ms, unix_us, unix_ns, or a layout of Go's package time such as 2006-01-02 15:04:05 (UTC unless it has a zone). auto reads RFC 3339, and numbers by their size.")
		f.Duration(&t.outOfOrder, "out_of_order", 0, "How much older than the youngest record before it a record may be without being late.")
		t.outOfOrderGiven = f.Given("out_of_order")
		f.Duration(&t.idle, "idle", 0, "After this long without records, time goes on with the clock, so that open windows close. 0s: never.").Optional()
		f.Duration(&t.maxAhead, "max_ahead", 0, "A record whose time is further than this ahead of the clock is a dead letter, so that one wrong clock cannot make all others late. 0s: no limit.").Optional()
	}).Present()
}

// sourceNode is a decoded source.
type sourceNode struct {
	name, kind string
	span       diag.Span
	conf       sourceConfig
	decl       stage.Kind
	config     any
	signature  string
	sound      bool // decoded without errors
}

func (c *compiler) decodeSources(items []*yaml.Node) []*sourceNode {
	var all []*sourceNode
	for _, n := range items {
		s := &sourceNode{}
		e := c.open(n, sourceSlot(), s.conf.bind)
		s.kind, s.span = e.kind, e.span
		if e.kind != "" {
			s.decl, _ = sourceSlot().find(c.registry, e.kind)
			s.config = s.decl.Decode(e.fields)
			s.signature = c.signature(s.kind, e.value)
		}
		s.sound = e.finish()
		all = append(all, s)
	}
	return all
}

// buildSources builds the sources and says what is known of their records.
func (c *compiler) buildSources(sources []*sourceNode) place {
	var places []place
	for _, s := range sources {
		c.sources = append(c.sources, s.name)
	}
	for _, s := range sources {
		at := place{}
		slot, timed := c.timeSlot(s)
		if s.sound {
			b := c.builder(s.name, s.span, place{})
			spec := s.decl.Source(s.config, b)
			if c.settle(b, place{made: !spec.Raw}) {
				at.schema = spec.Schema
				at.made = !spec.Raw
				if at.meta = metaNames(s.decl); at.meta != nil {
					at.meta = append(at.meta, "source") // which is the engine's
				}
			}
			c.plan.Sources = append(c.plan.Sources, c.source(s, spec, slot, timed))
		}
		if timed {
			c.checkTime(s, at.schema)
		}
		places = append(places, at)
	}
	if len(places) == 0 {
		return place{}
	}
	return joined(places)
}

func (c *compiler) source(s *sourceNode, spec stage.SourceSpec, slot record.Slot, timed bool) plan.Source {
	p := plan.Source{Name: s.name, Kind: s.kind, Spec: spec, Span: s.span, Signature: s.signature}
	if s.conf.limited {
		p.Rate, p.Per = s.conf.rate.records, s.conf.rate.per
	}
	if timed {
		t := s.conf.time
		p.Time = plan.Time{
			Event: true, Slot: slot, Field: t.field.Value, Layout: t.layout.Value,
			OutOfOrder: t.outOfOrder, Idle: t.idle, MaxAhead: t.maxAhead, MaxAheadText: conf.FormatDuration(t.maxAhead),
		}
	}
	return p
}

// timeSlot makes the slot of the field that holds the time. It is made before
// anything else of the source, since the time is always read from payloads.
func (c *compiler) timeSlot(s *sourceNode) (slot record.Slot, ok bool) {
	if !s.conf.event || s.conf.time.field.Value == "" {
		return 0, false
	}
	path, err := record.ParsePath(s.conf.time.field.Value)
	if err != nil {
		c.fail(s.conf.time.field.Span, "time: "+err.Error(), "name a field, such as timestamp or event.time")
		return 0, false
	}
	if path[0].List {
		c.fail(s.conf.time.field.Span, "time: a record is no list", "name a field, such as timestamp or event.time")
		return 0, false
	}
	return c.layout.Slot(path), true
}

// checkTime checks what is known of the field that holds the time, and its layout.
func (c *compiler) checkTime(s *sourceNode, schema *expr.Schema) {
	t := s.conf.time
	if !t.outOfOrderGiven {
		c.lateness = append(c.lateness, t.span)
	}
	c.checkLayout(t.layout)
	path, _ := record.ParsePath(t.field.Value)
	typ, known := schema.Lookup(top(path))
	switch {
	case !known && !isOpen(schema):
		advice := "known: " + strings.Join(schema.Names(), ", ")
		if near := diag.Suggest(top(path), schema.Names()); near != "" {
			advice = fmt.Sprintf("did you mean %q?", near)
		}
		c.fail(t.field.Span, fmt.Sprintf("time: unknown field %q", top(path)), advice)
	case len(path) == 1 && (typ == expr.Bool || typ == expr.List || typ == expr.Map):
		c.fail(t.field.Span, fmt.Sprintf("time: field %q is of type %s, which is no time", t.field.Value, typ), "name a field that holds a text or a number")
	}
}

// checkLayout refuses a layout that no time can be read by.
func (c *compiler) checkLayout(layout conf.Text) {
	named := []string{"auto", "rfc3339", "unix", "unix_ms", "unix_us", "unix_ns"}
	for _, n := range named {
		if layout.Value == n {
			return
		}
	}
	one := time.Date(2006, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	other := time.Date(2017, 11, 23, 14, 35, 46, 123_000_000, time.UTC)
	text := one.Format(layout.Value)
	if _, err := time.Parse(layout.Value, text); err == nil && text != other.Format(layout.Value) {
		return
	}
	advice := "use rfc3339, unix, unix_ms, unix_us, unix_ns, or write how 2 January 2006, 15:04:05 would look, such as 2006-01-02 15:04:05"
	if near := diag.Suggest(layout.Value, named); near != "" {
		advice = fmt.Sprintf("did you mean %q?", near)
	}
	c.fail(layout.Span, fmt.Sprintf("time: layout %q names no part of a time", layout.Value), advice)
}
