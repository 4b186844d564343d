package topology

import (
	"fmt"

	"github.com/reugn/go-streams"
	"github.com/reugn/go-streams/flow"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// builder connects the nodes of a plan. Everything that can fail is done by
// prepare, before the first goroutine starts: go-streams has no way to take
// back a graph that is half connected.
type builder struct {
	g *Graph
	// operators are the instances of each operator, a lane each, in the order
	// in which connect meets them.
	operators map[*plan.Operator][]*operator
	how       map[string]Takeover
	deltas    []*checkpoint.Delta // what how changes in the store
}

// operator is one instance of an operator, in one lane.
type operator struct {
	name     string
	stateful bool
	driver   *stage.Driver
	coord    *checkpoint.Coordinator
	row      *telemetry.Row
	nested   *nested // of an operator that makes records
	spot     *spot
	sized    stage.Sized          // nil: nobody knows how large its state is
	size     *telemetry.StateSize // where that is told
	growing  stage.Growing        // nil: its snapshots are small
	grown    bool                 // the coordinator was told, since the last barrier
	full     bool                 // the sources wait for the next snapshot
	viewer   stage.Viewer         // nil: its state cannot be looked at
	looks    chan func()          // of people at the state; nil: none can be
}

// step is what the operator's worker does. A panic that leaves the
// driver means that the operator's state is not to be trusted: the graph fails,
// and the barrier goes no further.
func (o *operator) step(b *record.Batch, send func(*record.Batch)) (out []*record.Batch) {
	defer func() {
		if p := recover(); p != nil {
			o.coord.Fail(fmt.Errorf("%s: %s", o.name, stage.Panicked(p)))
			out = nil
		}
	}()
	var snapshot stage.StateWriter
	var delta *checkpoint.Delta
	epoch := b.Barrier.Epoch
	if o.stateful && b.Barrier.Kind != record.None {
		delta = &checkpoint.Delta{Stage: o.name}
		snapshot = delta
	}
	n := len(b.Records)
	o.driver.HandOn(func(made *record.Batch) {
		o.made(made)
		send(made)
	})
	out = o.driver.Step(b, snapshot)
	if delta != nil {
		o.coord.Snapshot(epoch, delta)
		o.measure()
	}
	o.grow(epoch > 0)
	counts := o.driver.Context.TakeCounts()
	if n == 0 && counts != (stage.Counts{}) {
		o.coord.Stir()
	}
	o.row.Add(counts)
	for _, made := range out {
		o.made(made)
	}
	return out
}

// look has the operator's worker answer a view. The state is then not to be
// trusted after a panic either.
func (o *operator) look(v *view) {
	defer func() {
		if p := recover(); p != nil {
			o.coord.Fail(fmt.Errorf("%s: %s", o.name, stage.Panicked(p)))
		}
	}()
	v.answer(o)
}

// measure tells how large the state is.
func (o *operator) measure() {
	if o.sized != nil {
		o.size.Set(o.sized.Size())
	}
}

// made is what becomes of a batch before it goes on.
func (o *operator) made(b *record.Batch) {
	if o.nested != nil {
		o.nested.fill(b)
	}
	o.spot.batch(b.Records)
}

// maxChanged is how many changed entries of a lane call for a barrier, so that
// writing them takes the lane a few milliseconds at most. While the disk is too
// slow for that the sources wait from maxWaiting on.
const (
	maxChanged = 8192
	maxWaiting = 2 * maxChanged
)

// grow asks for a barrier when the next snapshot has become large.
func (o *operator) grow(barrier bool) {
	if o.growing == nil {
		return
	}
	changed := o.growing.Changed()
	switch large := changed >= maxChanged; {
	case !large:
		o.grown = false
	case !o.grown || barrier:
		o.grown = true
		o.coord.Grown()
	}
	if full := changed >= maxWaiting; full != o.full {
		o.full = full
		o.coord.Full(full)
	}
}

// prepare walks nodes that begin with a number of lanes, and returns the
// number behind them.
func (b *builder) prepare(nodes []plan.Node, lanes int) (int, error) {
	for _, n := range nodes {
		switch n := n.(type) {
		case *plan.Partition:
			lanes = n.Lanes
		case *plan.Route:
			behind := 0
			for _, branch := range n.Branches {
				l, err := b.prepare(branch.Nodes, lanes)
				if err != nil {
					return 0, err
				}
				if len(branch.Sinks) == 0 {
					behind = joinLanes(behind, l)
				}
			}
			lanes = max(behind, 1)
		case *plan.Operator:
			row := b.g.config.Ledger.Row(n.Kind, n.Name)
			if n.Spec.RecordWise {
				continue
			}
			for range lanes {
				op := n.Spec.New()
				o := &operator{
					name: n.Name, stateful: n.Spec.Stateful, coord: b.g.coord, row: row,
					driver: stage.NewDriver(n.Name, op, b.g.plan.Batch, n.FlushAlways),
				}
				o.spot = b.g.config.Taps.spot(n.Name)
				if o.viewer, _ = op.(stage.Viewer); o.viewer != nil {
					o.looks = make(chan func(), 1)
				}
				if n.Spec.Stateful {
					o.growing, _ = op.(stage.Growing)
					o.sized, _ = op.(stage.Sized)
				}
				o.driver.Context.Now, o.driver.Context.Watermark = b.g.now, b.watermark()
				if n.Spec.Makes {
					o.nested = newNested(b.g.plan.Layout)
				}
				b.operators[n] = append(b.operators[n], o)
				if _, ok := op.(stage.Stateful); n.Spec.Stateful && !ok {
					return 0, fmt.Errorf("%s: declared with state, but its operator has none", n.Name)
				}
			}
			if n.Spec.Records {
				row.Forget() // what the graph before held is restored, and counted then
			}
			if err := b.restore(n); err != nil {
				return 0, err
			}
		}
	}
	return lanes, nil
}

// watermark is that of the last commit, at which nothing was held anywhere.
func (b *builder) watermark() int64 {
	low := int64(record.MaxTime)
	for i := range b.g.plan.Sources {
		p, ok := b.g.last.Positions[b.g.plan.Sources[i].Name]
		if !ok {
			return record.MinTime
		}
		low = min(low, p.Watermark)
	}
	return low
}

// joinLanes is the number of lanes behind branches: the same number when all
// agree, so that a key stays in its lane; else one.
func joinLanes(a, b int) int {
	if a == 0 || a == b {
		return b
	}
	return 1
}

// connect starts everything.
func (b *builder) connect(last checkpoint.Commit) {
	g := b.g
	g.config.Taps.setMask(g.plan.Mask)
	g.viewing.Lock()
	g.viewable = b.operators
	g.viewing.Unlock()
	for _, t := range g.ordered {
		g.wg.Go(t.run)
	}
	var ins []<-chan any
	for i := range g.plan.Sources {
		ins = append(ins, b.source(i, last))
	}
	lanes := b.nodes(g.plan.Nodes, []<-chan any{merged(&g.wg, ins, g.config.Steady)})
	b.sinks(lanes, g.plan.Sinks)
	for _, p := range g.pumps {
		g.wg.Go(p.run)
	}
}

// source connects a source's pump, decoders and stamp.
func (b *builder) source(i int, last checkpoint.Commit) <-chan any {
	g := b.g
	src := &g.plan.Sources[i]
	from, ok := last.Positions[src.Name]
	if !ok {
		from.Watermark = record.MinTime
	}
	p := newPump(i, src, g.config.Intakes[i], from, g)
	g.pumps = append(g.pumps, p)
	d := &decoder{stage: src.Name, raw: src.Spec.Raw, slots: g.plan.Reads, time: src.Time, nested: newNested(g.plan.Layout)}
	if d.raw {
		d.projector = record.NewProjector(g.plan.Layout.First(g.plan.Reads))
	}
	s := &stamp{index: i, time: src.Time, coord: g.coord, row: p.row, marks: p.marks, watermark: from.Watermark, spot: g.config.Taps.spot(SourceTap(src.Name)), trace: g.reading[i]}
	workers := g.config.Workers
	if !d.raw {
		workers = 1
	}
	m := g.meter(p.row, 0)
	return ordered(&g.wg, p.out, decoding{workers: workers, work: g.failing(src.Name, d.decode), behind: s.stamp, meter: m, name: src.Name})
}

// nodes connects a run of nodes behind lanes and returns the lanes behind it.
func (b *builder) nodes(nodes []plan.Node, lanes []<-chan any) []<-chan any {
	for i := 0; i < len(nodes); {
		n := 1
		for fusible(nodes[i]) && i+n < len(nodes) && fusible(nodes[i+n]) {
			n++
		}
		switch node := nodes[i].(type) {
		case *plan.Operator:
			lanes = b.operator(node, nodes[i:i+n], lanes)
		case *plan.Partition:
			lanes = b.partition(node, lanes)
		case *plan.Route:
			if node.InPlace {
				lanes = b.fused(nodes[i:i+n], lanes)
			} else {
				lanes = b.route(node, lanes)
			}
		}
		i += n
	}
	return lanes
}

func (b *builder) operator(n *plan.Operator, run []plan.Node, lanes []<-chan any) []<-chan any {
	if n.Spec.RecordWise {
		return b.fused(run, lanes)
	}
	out := make([]<-chan any, len(lanes))
	var sizes []telemetry.StateSize
	if n.Spec.Stateful {
		sizes = b.operators[n][0].row.States(len(lanes))
	}
	for l, in := range lanes {
		op := b.operators[n][l]
		if sizes != nil {
			op.size = &sizes[l]
			op.measure() // what was restored
		}
		names := []string{n.Name}
		traced := b.g.config.Trace.Stage(names, l, n.Spec.Holds, n.Spec.Makes)
		out[l] = via(in, newWorker(&b.g.wg, b.g.meter(op.row, l), traced, names, op.step, op.looks))
	}
	return out
}

func (b *builder) fused(run []plan.Node, lanes []<-chan any) []<-chan any {
	out := make([]<-chan any, len(lanes))
	for l, in := range lanes {
		c := newChain(run, b.g.config.Ledger, b.g.config.Taps)
		traced := b.g.config.Trace.Stage(c.names(), l, false, false)
		out[l] = via(in, newWorker(&b.g.wg, b.g.meter(c.rows[0], l), traced, c.names(), c.one, nil))
	}
	return out
}

// via runs a stream through a go-streams operator.
func via(in <-chan any, f streams.Flow) <-chan any {
	return stream(in).Via(f).Out()
}

// stream makes a go-streams source of a channel.
type stream <-chan any

var _ streams.Source = stream(nil)

func (s stream) Out() <-chan any { return s }

func (s stream) Via(f streams.Flow) streams.Flow {
	flow.DoStream(s, f)
	return f
}

func (b *builder) partition(n *plan.Partition, lanes []<-chan any) []<-chan any {
	g := b.g
	var row *telemetry.Row
	if !n.Implied {
		row = g.config.Ledger.Row("partition", n.Name)
	}
	out := make([][]<-chan any, n.Lanes)
	tick := g.plan.Tick
	if g.config.Steady {
		tick = 0
	}
	for lane, in := range lanes {
		s := newSplitter(n, n.Lanes, g.plan.Batch, tick, row)
		s.meter = g.meter(row, lane)
		s.spot = g.config.Taps.spot(n.Name)
		for l, o := range s.outs {
			out[l] = append(out[l], o)
		}
		g.wg.Go(func() { s.run(in) })
	}
	joined := make([]<-chan any, n.Lanes)
	for l := range joined {
		joined[l] = merged(&g.wg, out[l], g.config.Steady)
	}
	return joined
}

// route connects branches, and joins those again that have no sinks of their own.
func (b *builder) route(n *plan.Route, lanes []<-chan any) []<-chan any {
	g := b.g
	row := g.config.Ledger.Row("route", n.Name)
	branches := make([][]<-chan any, len(n.Branches))
	for lane, in := range lanes {
		r := newRouter(n, row)
		r.meter = g.meter(row, lane)
		r.spot = g.config.Taps.spot(n.Name)
		for i, o := range r.outs {
			branches[i] = append(branches[i], o)
		}
		g.wg.Go(func() { r.run(in) })
	}
	var joining [][]<-chan any
	width := 0
	for i := range n.Branches {
		out := b.nodes(n.Branches[i].Nodes, branches[i])
		if len(n.Branches[i].Sinks) > 0 {
			b.sinks(out, n.Branches[i].Sinks)
			continue
		}
		joining = append(joining, out)
		width = joinLanes(width, len(out))
	}
	if width == 0 {
		return nil // every branch ends in sinks
	}
	joined := make([]<-chan any, width)
	for l := range joined {
		var ins []<-chan any
		for _, branch := range joining {
			if width > 1 || len(branch) == 1 {
				ins = append(ins, branch[l])
			} else {
				ins = append(ins, branch...)
			}
		}
		joined[l] = merged(&g.wg, ins, g.config.Steady)
	}
	return joined
}

// sinks connects the terminals of sinks behind lanes.
func (b *builder) sinks(lanes []<-chan any, sinks []plan.Sink) {
	if len(sinks) == 0 {
		return
	}
	g := b.g
	for i, in := range fanOut(&g.wg, merged(&g.wg, lanes, g.config.Steady), len(sinks)) {
		flow.DoStream(stream(in), g.terminals[&sinks[i]])
	}
}
