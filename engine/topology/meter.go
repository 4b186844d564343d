package topology

import (
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// meter tells a node of the ledger what one goroutine does: it wraps what that
// waits for. It reads the clock when the goroutine has to wait and at the end
// of a call, so once a batch in a node that always has work. A nil meter
// measures nothing.
type meter struct {
	node  *telemetry.Node
	clock clock.Clock
	now   time.Time // of the last reading
}

// meter is the meter of a stage in one lane. A node has one writer: stages
// that share a name, and so a row, take nodes one behind the other.
func (g *Graph) meter(row *telemetry.Row, lane int) *meter {
	if row == nil {
		return nil
	}
	node := row.Node(lane)
	for g.metered[node] {
		lane++
		node = row.Node(lane)
	}
	g.metered[node] = true
	return &meter{node: node, clock: g.config.Clock}
}

// begin is the goroutine's first call, and end its last. stages are those
// that it runs.
func (m *meter) begin(stages ...string) {
	if m != nil {
		m.now = m.clock.Now()
		m.node.Begin(m.now, stages)
	}
}

func (m *meter) end() { m.enter(telemetry.Gone) }

func (m *meter) enter(p telemetry.Phase) {
	if m != nil {
		m.now = m.clock.Now()
		m.node.Enter(p, m.now)
	}
}

// called notes a call that began at the last reading of the clock.
func (m *meter) called(records int) {
	if m != nil {
		began := m.now
		m.now = m.clock.Now()
		m.node.Call(records, m.now.Sub(began), m.now)
	}
}

// recv receives, and is idle while nothing comes.
func (m *meter) recv(in <-chan any) (el any, ok bool) {
	if m == nil {
		el, ok = <-in
		return el, ok
	}
	select {
	case el, ok = <-in: // still busy
	default:
		m.enter(telemetry.Idle)
		el, ok = <-in
		m.enter(telemetry.Busy)
	}
	return el, ok
}

// send sends, and is blocked while nobody takes it.
func (m *meter) send(out chan<- any, b *record.Batch) {
	if m == nil {
		out <- b
		return
	}
	select {
	case out <- b:
	default:
		m.enter(telemetry.Blocked)
		out <- b
		m.enter(telemetry.Busy)
	}
}
