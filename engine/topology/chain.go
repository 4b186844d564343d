package topology

import (
	"slices"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// chain is a run of record-wise operators, fused into one: each record goes
// through all of them before the next one does, and stays where it is in its
// batch. Routes whose branches are record-wise are links of it too.
type chain struct {
	links    []link
	contexts []*stage.Context
	rows     []*telemetry.Row
	at       *stage.Context // who has the record now, for blame
	spots    []*spot
	looked   bool // somebody looks at one of them, during this batch
	out      [1]*record.Batch
}

type link struct {
	context  *stage.Context
	operator stage.Operator
	route    *plan.Route // instead of operator
	branches [][]link
	spot     *spot // behind it
}

// fusible says whether a node can be a link of a chain.
func fusible(n plan.Node) bool {
	switch n := n.(type) {
	case *plan.Operator:
		return n.Spec.RecordWise
	case *plan.Route:
		return n.InPlace
	}
	return false
}

func newChain(nodes []plan.Node, ledger *telemetry.Ledger, taps *Taps) *chain {
	c := &chain{}
	c.links = c.add(nodes, ledger, taps)
	return c
}

func (c *chain) add(nodes []plan.Node, ledger *telemetry.Ledger, taps *Taps) []link {
	var links []link
	for _, n := range nodes {
		var l link
		switch n := n.(type) {
		case *plan.Operator:
			l.spot = taps.spot(n.Name)
			l.operator = n.Spec.New()
			l.context = stage.NewContext(n.Name, 1)
			c.rows = append(c.rows, ledger.Row(n.Kind, n.Name))
			c.contexts = append(c.contexts, l.context)
		case *plan.Route:
			l.route, l.spot = n, taps.spot(n.Name)
			l.context = stage.NewContext(n.Name, 1)
			c.rows = append(c.rows, ledger.Row("route", n.Name))
			c.contexts = append(c.contexts, l.context)
			for _, b := range n.Branches {
				l.branches = append(l.branches, c.add(b.Nodes, ledger, taps))
			}
		}
		if l.spot != nil {
			c.spots = append(c.spots, l.spot)
		}
		links = append(links, l)
	}
	return links
}

// names are those of all stages, in their order.
func (c *chain) names() (all []string) {
	for _, r := range c.rows {
		all = append(all, r.Name)
	}
	return all
}

// one is step for a worker. What it returns is valid until the next call.
func (c *chain) one(b *record.Batch, _ func(*record.Batch)) []*record.Batch {
	c.out[0] = c.step(b)
	return c.out[:]
}

// step works on a batch in place.
func (c *chain) step(b *record.Batch) *record.Batch {
	for _, ctx := range c.contexts {
		ctx.Begin(b)
		ctx.Watermark = b.Watermark
	}
	c.looked = slices.ContainsFunc(c.spots, (*spot).looked)
	kept := 0
	for i := 0; i < len(b.Records); {
		i, kept = c.records(b, i, kept)
	}
	b.Records = b.Records[:kept]
	for i, ctx := range c.contexts {
		b.Side = append(b.Side, ctx.TakeSide()...)
		c.rows[i].Add(ctx.TakeCounts())
	}
	return b
}

// records works on records from i on; see stage.Driver for how it treats a panic.
func (c *chain) records(b *record.Batch, i, kept int) (next, nowKept int) {
	defer func() {
		if p := recover(); p != nil {
			c.at.Settle(c.at.Dead(&b.Records[i], stage.Panicked(p)))
			next, nowKept = i+1, kept
		}
	}()
	for ; i < len(b.Records); i++ {
		if c.apply(c.links, &b.Records[i]) {
			if kept != i {
				b.Records[kept] = b.Records[i]
			}
			kept++
		}
	}
	return i, kept
}

// apply takes one record through links and says whether it goes on.
func (c *chain) apply(links []link, r *record.Record) bool {
	for i := range links {
		l := &links[i]
		c.at = l.context
		l.context.Scope.Record = r
		if l.route != nil {
			if !c.branch(l, r) {
				return false
			}
			continue
		}
		if !l.context.Settle(l.operator.Process(l.context, r)) {
			return false
		}
		if c.looked {
			l.spot.one(r)
		}
	}
	return true
}

// branch takes a record through the branch that it belongs to.
func (c *chain) branch(l *link, r *record.Record) bool {
	for i := range l.route.Branches {
		if when := l.route.Branches[i].When; when != nil {
			yes, err := when.Bool(&l.context.Scope)
			if err != nil {
				return l.context.Settle(l.context.Dead(r, l.route.Branches[i].Name+": "+err.Error()))
			}
			if !yes {
				continue
			}
		}
		l.context.Settle(stage.Pass)
		if c.looked {
			l.spot.one(r)
		}
		return c.apply(l.branches[i], r)
	}
	return l.context.Settle(stage.Filter)
}
