package api

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

// busy is a host with many flows and stages, in several lanes each.
type busy struct {
	whole
	ledgers []*telemetry.Ledger
}

func newBusy(flows, stages, lanes int) busy {
	var b busy
	for range flows {
		l := &telemetry.Ledger{}
		for i := range stages {
			r := l.Row("filter", fmt.Sprintf("filter_%d", i))
			for lane := range lanes {
				n := r.Node(lane)
				n.Begin(time.Now(), []string{r.Name})
				for range 100 {
					n.Call(10, time.Millisecond, time.Now())
				}
			}
		}
		b.ledgers = append(b.ledgers, l)
	}
	return b
}

func (b busy) Measure() []Measured {
	var all []Measured
	for i, l := range b.ledgers {
		all = append(all, Measured{Snapshot: l.Snapshot(time.Now()), Name: fmt.Sprintf("flow_%d", i), State: "running"})
	}
	return all
}

// A listener that does not read loses measurements, and holds nobody up.
func TestASlowListenerHoldsNobodyUp(t *testing.T) {
	m := newMonitor(newBusy(1, 2, 2))
	slow, stop := m.listen()
	defer stop()
	for range 10 * eventBuffer {
		m.sample(time.Now())
	}
	if len(slow) != eventBuffer || len(m.past("flow_0")) != 10*eventBuffer {
		t.Errorf("%d events wait, %d points are kept", len(slow), len(m.past("flow_0")))
	}
	for range maxPoints {
		m.sample(time.Now())
	}
	if n := len(m.past("flow_0")); n != maxPoints {
		t.Errorf("%d points are kept", n)
	}
	stop()
	m.sample(time.Now())
	if len(m.listeners) != 0 {
		t.Error("who has gone is still told")
	}
}

// BenchmarkUpdate is what one second of the dashboard costs the process: 10
// flows of stages in 4 lanes are measured, and sent to a page that shows one.
func BenchmarkUpdate(b *testing.B) {
	for _, stages := range []int{20, 200} {
		b.Run(fmt.Sprintf("stages=%d", stages), func(b *testing.B) {
			m := newMonitor(newBusy(10, stages, 4))
			m.sample(time.Now())
			began := processSeconds()
			for b.Loop() {
				m.sample(time.Now())
				send(httptest.NewRecorder(), "metrics", brief(m.now(), "flow_0"))
			}
			b.ReportMetric((processSeconds()-began)/float64(b.N)*100, "%core")
		})
	}
}
