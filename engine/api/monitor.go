package api

import (
	"context"
	"sync"
	"time"
)

const (
	// sampleEvery is how often flows are measured for people.
	sampleEvery = time.Second
	// maxPoints is how many measurements are kept of a flow: five minutes.
	maxPoints = 300
	// eventBuffer is how many events may wait for a slow reader: what comes
	// while it is full is dropped, since a later event tells more.
	eventBuffer = 8
)

// Point is one measurement of a flow that is kept for charts.
type Point struct {
	At       time.Time `json:"at"`
	InRate   float64   `json:"in_rate"`
	OutRate  float64   `json:"out_rate"`
	BadRate  float64   `json:"bad_rate"` // dead letters and late records
	BatchMS  float64   `json:"batch_ms"`
	CommitMS float64   `json:"commit_ms"`
}

// monitor measures the flows once a second, keeps some minutes of that, and
// tells who listens. A slow listener costs nobody anything.
type monitor struct {
	host    Host
	machine machine
	before  map[string]*Measured

	mu        sync.Mutex
	latest    Metrics
	history   map[string][]Point
	bad       map[string]uint64
	listeners map[chan Metrics]bool
}

func newMonitor(h Host) *monitor {
	return &monitor{
		host: h, before: map[string]*Measured{}, latest: Metrics{Flows: []FlowMetrics{}},
		history: map[string][]Point{}, bad: map[string]uint64{}, listeners: map[chan Metrics]bool{},
	}
}

// Watch measures the flows once a second until ctx is done. Without it there
// are no rates, no history and no events.
func (a *API) Watch(ctx context.Context) error {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	a.monitor.sample(time.Now())
	for {
		select {
		case now := <-tick.C:
			a.monitor.sample(now)
		case <-ctx.Done():
			return nil
		}
	}
}

// sample takes one measurement of everything.
func (m *monitor) sample(now time.Time) {
	next := Metrics{At: now.UTC(), Machine: m.machine.read(now), Flows: []FlowMetrics{}}
	seen := map[string]*Measured{}
	for _, one := range m.host.Measure() {
		next.Flows = append(next.Flows, flowMetrics(one, m.before[one.Name]))
		seen[one.Name] = &one
	}
	m.before = seen
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest = next
	for i := range next.Flows {
		f := &next.Flows[i]
		p := Point{At: next.At, InRate: f.InRate, OutRate: f.OutRate, BatchMS: f.BatchMS, CommitMS: f.CommitMS}
		bad := f.Dead + f.Late
		if was, ok := m.bad[f.Name]; ok && bad > was {
			p.BadRate = float64(bad-was) / sampleEvery.Seconds()
		}
		m.bad[f.Name] = bad
		points := append(m.history[f.Name], p)
		if len(points) > maxPoints {
			points = points[len(points)-maxPoints:]
		}
		m.history[f.Name] = points
	}
	for l := range m.listeners {
		select {
		case l <- next:
		default:
		}
	}
}

// now is the latest measurement. It is not to be changed.
func (m *monitor) now() Metrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest
}

func (m *monitor) past(flow string) []Point {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Point{}, m.history[flow]...)
}

// listen returns the measurements from now on, until the returned function is called.
func (m *monitor) listen() (<-chan Metrics, func()) {
	l := make(chan Metrics, eventBuffer)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners[l] = true
	return l, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.listeners, l)
	}
}
