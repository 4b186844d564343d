package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/change"
)

// pauseRate is how many messages a second go through while the pause of a
// change is measured.
const pauseRate = 5000

// TestPause measures how long a change holds up the output, as a consumer
// sees it, and compares that with what the receipts say. It prints and judges
// only loosely: on a busy machine the output pauses by itself, which is
// printed beside it. It is strict about the messages: every one comes once,
// and those of a key in their order. HARNESS_PAUSE is the number of changes.
func TestPause(t *testing.T) {
	n := number(t, "HARNESS_PAUSE", 0)
	if n == 0 {
		t.Skip("set HARNESS_PAUSE to the number of changes; it takes a fifth of a second for each")
	}
	h := newHarness(t, rand.New(rand.NewPCG(uint64(number(t, "HARNESS_SEED", 1)), 0)))
	f := h.flow("pass", "meta.redelivered", "")
	f.prefetch, f.flight = 1000, 1000
	h.must(os.WriteFile(f.file, []byte(f.text(h.url)), 0o644))
	h.must(h.channel.ExchangeDeclare(h.name, "fanout", true, false, false, false, nil))
	h.declareAll(f)
	h.flows = []*flowFile{f}
	h.start()
	m := &meter{harness: h, flow: f, came: map[int]int{}}
	h.consume(f.out, func(d *amqp.Delivery) { m.arrived(d, time.Now()) })
	m.apply(change.Change{Flow: f.name, Set: map[string]string{"rate": "10000"}})
	stop := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() { m.publish(stop) })
	time.Sleep(2 * time.Second) // until it runs steadily
	for range n {
		time.Sleep(100*time.Millisecond + h.pause(60))
		m.measured = append(m.measured, m.apply(m.next()))
	}
	time.Sleep(500 * time.Millisecond)
	close(stop)
	publisher.Wait()
	m.report()
	m.account()
	h.terminate()
}

// meter measures pauses.
type meter struct {
	*harness
	flow     *flowFile
	measured []measured
	mu       sync.Mutex
	arrivals []time.Time
	sent     int         // messages published, numbered from 1
	came     map[int]int // by number: how often
	last     [pauseKeys]int
	behind   int // messages that came behind a later one of their key
}

// pauseKeys is how many keys the messages have.
const pauseKeys = 23

// measured is a change: when it was asked for and answered, and the pause
// that the receipt tells of.
type measured struct {
	from, to time.Time
	paused   time.Duration
}

func (m *meter) arrived(d *amqp.Delivery, at time.Time) {
	var r struct{ N int }
	err := json.Unmarshal(d.Body, &r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil || r.N < 1 {
		m.t.Errorf("came out: %s", d.Body)
		return
	}
	m.arrivals = append(m.arrivals, at)
	m.came[r.N]++
	if last := &m.last[r.N%pauseKeys]; r.N < *last {
		m.behind++
	} else {
		*last = r.N
	}
}

// account waits for the rest and counts what was lost, doubled or out of order.
func (m *meter) account() {
	m.t.Helper()
	lost, doubled, behind := m.count()
	for limit := time.Now().Add(eventTimeout); lost > 0 && time.Now().Before(limit); lost, doubled, behind = m.count() {
		time.Sleep(10 * time.Millisecond)
	}
	m.t.Logf("%d messages: %d lost, %d more than once, %d behind a later one of their key", m.sent, lost, doubled, behind)
	if lost+doubled+behind > 0 {
		m.t.Error("changes are to lose, repeat and reorder nothing")
	}
}

func (m *meter) count() (lost, doubled, behind int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, times := range m.came {
		doubled += times - 1
	}
	return m.sent - len(m.came), doubled, m.behind
}

// next is a change that keeps the source: other lanes, or another file.
func (m *meter) next() change.Change {
	f := m.flow
	switch m.rng.IntN(3) {
	case 0:
		f.flight = 500 + m.rng.IntN(1000)
	case 1:
		f.step = !f.step
	default:
		f.lanes = 1 + f.lanes%8
		return change.Change{Flow: f.name, Set: map[string]string{"lanes": fmt.Sprint(f.lanes)}}
	}
	return change.Change{Flow: f.name, Source: []byte(f.text(m.url)), File: f.file}
}

// apply makes a change through the API, as the command line does.
func (m *meter) apply(c change.Change) measured {
	m.t.Helper()
	from := time.Now()
	r, ok, err := api.Dial(filepath.Join(m.dir, "state", socketName)).Apply(context.Background(), c, eventTimeout)
	if err != nil || !ok || r.Outcome != change.Applied {
		m.t.Fatalf("apply: %+v, %v", r, err)
	}
	return measured{from, time.Now(), time.Duration(r.PausedMS * float64(time.Millisecond))}
}

func (m *meter) publish(stop <-chan struct{}) {
	const slice = 2 * time.Millisecond
	tick := time.NewTicker(slice)
	defer tick.Stop()
	began, sent := time.Now(), 0
	defer func() { m.sent = sent }()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * pauseRate); sent < due; sent++ {
			r := fmt.Sprintf(`{"n":%d,"key":"k%d","value":1}`, sent+1, (sent+1)%pauseKeys)
			if err := m.channel.Publish("", m.flow.in, true, false, amqp.Publishing{MessageId: fmt.Sprint(sent), Body: []byte(r)}); err != nil {
				m.t.Errorf("publish: %v", err)
				return
			}
		}
	}
}

// gap is the longest time without output that touches a span.
func (m *meter) gap(from, to time.Time) (longest time.Duration) {
	at, _ := slices.BinarySearchFunc(m.arrivals, from, time.Time.Compare)
	for i := max(at, 1); i < len(m.arrivals); i++ {
		if m.arrivals[i-1].After(to) {
			break
		}
		longest = max(longest, m.arrivals[i].Sub(m.arrivals[i-1]))
	}
	return longest
}

func (m *meter) report() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var seen, told, differ, quiet []time.Duration
	for i, c := range m.measured {
		gap := m.gap(c.from, c.to)
		seen, told, differ = append(seen, gap), append(told, c.paused), append(differ, max(0, c.paused-gap))
		if i > 0 { // between two changes, for as long as this one took
			between := c.from.Add(-80 * time.Millisecond)
			quiet = append(quiet, m.gap(between, between.Add(min(c.to.Sub(c.from), 70*time.Millisecond))))
		}
	}
	m.t.Logf("%d messages, %d changes; the longest time without output around each:", len(m.arrivals), len(m.measured))
	for _, row := range []struct {
		name string
		all  []time.Duration
	}{{"seen by a consumer", seen}, {"paused_ms of receipts", told}, {"told but not seen", differ}, {"without a change", quiet}} {
		slices.Sort(row.all)
		at := func(p float64) time.Duration {
			return row.all[int(p*float64(len(row.all)-1))].Round(10 * time.Microsecond)
		}
		m.t.Logf("  %-22s p50 %-9v p99 %-9v max %v", row.name, at(0.5), at(0.99), at(1))
	}
	if p99 := seen[99*(len(seen)-1)/100]; p99 > time.Second {
		m.t.Errorf("p99 is %v", p99)
	}
}
