package flow

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// stageConfig is what every stage may have beside its kind.
type stageConfig struct {
	name     conf.Text
	onChange string
	changes  diag.Span
	from     conf.Text
	retry    retryConfig
}

func (s *stageConfig) bind(f *conf.Fields) {
	f.Text(&s.name, "name", "", "The stage's name. Its state is found again by it. Default: its kind; several stages of one kind that keep state need names. The name of a process stands in front of the names of its steps.")
	f.Enum(&s.onChange, "on_change", "", []string{"carry", "flush", "discard"},
		"What becomes of the stage's state when a change of the flow makes it another: carry takes over what the new stage can use, flush sends out what is open as partial results, discard drops it. Without it, a change that cannot carry everything over is refused.")
	s.changes = f.SpanOf("on_change")
	f.Text(&s.from, "state_from", "", "What the stage was called before. When nothing is kept under its name, it takes over what is kept under that one. It may stay in the file.").NotEmpty()
	s.retry.bindTo(f)
}

// node is a decoded stage.
type node struct {
	name, kind string
	named      bool // the file gives the name
	span       diag.Span
	value      *yaml.Node // what stands under the kind
	conf       stageConfig
	sound      bool // decoded without errors

	decl   stage.Kind // of an operator
	config any

	partition partitionConfig
	steps     []*node // of a process
	route     routeConfig
	branches  []*branchNode
}

func (c *compiler) decodeStages(list *yaml.Node, name string) []*node {
	var all []*node
	for _, n := range c.list(list, name, `"- `+stageSlot().example+`"`) {
		all = append(all, c.decodeStage(n, stageSlot()))
	}
	return all
}

func (c *compiler) decodeStage(n *yaml.Node, s slot) *node {
	d := &node{}
	e := c.open(n, s, d.conf.bind)
	d.kind, d.span, d.value = e.kind, e.span, e.value
	switch e.kind {
	case "":
	case "partition":
		e.fields.Object("partition", partitionSummary, d.partition.bind).Required()
	case "process":
		d.steps = c.decodeProcess(e)
	case "route":
		e.fields.Object("route", routeSummary, d.route.bind)
		d.branches = c.decodeBranches(&d.route)
	default:
		d.decl, _ = s.find(c.registry, e.kind)
		d.config = d.decl.Decode(e.fields)
	}
	d.sound = e.finish()
	if d.conf.onChange != "" && (e.kind == "partition" || e.kind == "process" || e.kind == "route") {
		c.fail(d.conf.changes, fmt.Sprintf("on_change: a %s keeps no state", e.kind), "remove it, or write it at the stage that keeps state")
	}
	if d.conf.retry.given && (e.kind == "partition" || e.kind == "route") {
		c.fail(d.conf.retry.span, fmt.Sprintf("retry: a %s has no failure that could pass", e.kind), retryAdvice(e.kind))
	}
	if d.conf.from.Value != "" && (e.kind == "partition" || e.kind == "process" || e.kind == "route") {
		c.fail(d.conf.from.Span, fmt.Sprintf("state_from: a %s keeps no state", e.kind), "remove it, or write it at the stage that keeps state")
	}
	return d
}

const processSummary = "Works on single records in steps, in order: a list of steps such as filter and set. Each step may also stand directly under stages."

func (c *compiler) decodeProcess(e *entry) []*node {
	var list *yaml.Node
	e.fields.Node(&list, "process", processSummary)
	var steps []*node
	for _, n := range c.list(list, "process", `"- `+stepSlot().example+`"`) {
		steps = append(steps, c.decodeStage(n, stepSlot()))
	}
	return steps
}

// buildNodes builds stages in their order, and says what is known behind them.
func (c *compiler) buildNodes(nodes []*node, at place) ([]plan.Node, place) {
	var built []plan.Node
	for _, n := range nodes {
		if at.ended != "" {
			c.unreachable(n.span, "stage "+quoted(n.title()), at.ended)
			at = at.unknown()
		}
		if at.opaque != "" {
			c.fail(n.span, fmt.Sprintf("%s comes behind %q, whose records are whole messages without fields", n.title(), at.opaque),
				"move it in front of "+quoted(at.opaque)+"; only a sink may follow that")
			at = at.unknown()
		}
		var more []plan.Node
		switch {
		case n.kind == "process":
			before := c.retries
			n.conf.retry.handDown(n.steps)
			more, at = c.buildNodes(n.steps, at)
			if n.conf.retry.given && c.retries == before && n.sound {
				c.fail(n.conf.retry.span, "retry: no step of the process has a failure that could pass", retryAdvice(n.kind))
			}
		case n.kind == "route":
			more, at = c.buildRoute(n, at)
		case !n.sound:
			at = at.unknown()
		case n.kind == "partition":
			more, at = c.buildPartition(n, at)
		default:
			more, at = c.buildOperator(n, at)
		}
		built = append(built, more...)
	}
	return built, at
}

// title is the node's name, or its kind for one without.
func (n *node) title() string {
	if n.name != "" {
		return n.name
	}
	return n.kind
}

// buildOperator builds an operator, and in front of it the partition that its
// key needs.
func (c *compiler) buildOperator(n *node, at place) ([]plan.Node, place) {
	b := c.builder(n.name, n.span, at)
	spec := n.decl.Operator(n.config, b)
	if !c.settle(b, at) {
		return nil, at.unknown()
	}
	var order *stage.Key
	if n.conf.retry.given {
		var ok bool
		if spec, order, ok = c.retried(n, spec, at); !ok {
			return nil, at.unknown()
		}
	}
	if spec.Stateful {
		c.stateful = append(c.stateful, n)
	} else if n.conf.onChange != "" {
		c.warn(n.conf.changes, fmt.Sprintf("on_change: %s keeps no state", n.title()), "remove it")
	}
	if !spec.Stateful && n.conf.from.Value != "" {
		c.warn(n.conf.from.Span, fmt.Sprintf("state_from: %s keeps no state", n.title()), "remove it")
	}
	var built []plan.Node
	next := at
	next.schema = b.Schema
	wanted := b.Wanted()
	if order != nil {
		wanted = order
	}
	if wanted != nil {
		if at.lost && wanted.Len() == 0 && child(n.value, "by") == nil {
			c.fail(n.span, n.title()+": the key of the partition before is no longer there: a stage between overwrites or drops it, or branches with different keys come together",
				"say by: what to group, or add a partition in front")
		}
		if at.needsPartition(wanted) {
			p := c.impliedPartition(n, wanted, at)
			built = append(built, p)
			next = next.partitioned(p)
		}
	}
	if overwritten := at.key.Len() > 0 && b.Key == nil; overwritten {
		next.key, next.lost = nil, true
	}
	op := &plan.Operator{Name: n.name, Kind: n.kind, Spec: spec, OnChange: n.conf.onChange, StateFrom: n.conf.from.Value, Config: c.signature(n.kind, n.value), Span: n.span}
	built = append(built, op)
	if spec.Makes {
		next = c.behindMaker(next, b)
		next.meta = metaNames(n.decl)
	}
	if spec.Opaque {
		next.opaque, next.schema = n.name, &expr.Schema{}
	}
	return built, next
}

// behindMaker is the place behind a stage that makes new records. Those of a
// keyed stage keep its key; others may mix keys.
func (c *compiler) behindMaker(at place, b *stage.Builder) place {
	at.made = true
	if at.key.Len() == 0 {
		return at
	}
	var key *stage.Key
	if b.Wanted() != nil {
		key = c.keyBehind(at.key, at.schema)
	}
	at.key, at.lost = key, key == nil
	return at
}
