package flowtest

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Arrival is a record that came to a sink, or past a stage.
type Arrival struct {
	// Doc is the record as a document: JSON, unless the flow makes other
	// messages.
	Doc []byte
	// Key is the text of the partition's key, "" before one.
	Key string
	// Step counts the steps of the script, At is the time in it.
	Step int
	At   time.Duration

	number int   // of the message that it came from; math.MaxInt of records made anew
	time   int64 // the record's
}

// ordered lists arrivals in an order that does not depend on lanes: those of
// one key as they came, and of the next ones of all keys the one that came at
// an earlier step or time, from an earlier message, with an earlier time, or
// else with the lesser key.
func ordered(all []Arrival) []Arrival {
	var keys []string
	byKey := map[string][]Arrival{}
	for _, a := range all {
		if byKey[a.Key] == nil {
			keys = append(keys, a.Key)
		}
		byKey[a.Key] = append(byKey[a.Key], a)
	}
	if len(keys) < 2 {
		return all
	}
	out := make([]Arrival, 0, len(all))
	for len(out) < len(all) {
		first := slices.MinFunc(keys, func(a, b string) int { return compareHeads(byKey[a], byKey[b]) })
		out = append(out, byKey[first][0])
		byKey[first] = byKey[first][1:]
	}
	return out
}

func compareHeads(a, b []Arrival) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a)) // an empty one comes last
	}
	x, y := &a[0], &b[0]
	return cmp.Or(cmp.Compare(x.Step, y.Step), cmp.Compare(x.At, y.At), cmp.Compare(x.number, y.number),
		cmp.Compare(x.time, y.time), strings.Compare(x.Key, y.Key))
}

// Outage is how a sink fails.
type Outage struct {
	// Times is how often it refuses; 0: never again.
	Times int
	// Permanent refuses records for good, one each time. Otherwise writing is
	// tried again.
	Permanent bool
	Reason    string
	// Only says which records it refuses; nil: any.
	Only func(doc []byte) bool
}

func (o *Outage) error() error {
	reason := o.Reason
	if reason == "" {
		reason = "the test says so"
	}
	err := errors.New(reason)
	if o.Permanent {
		return stage.Permanent(err)
	}
	return stage.Transient(err)
}

// inbox collects arrivals at one place.
type inbox struct {
	bench *Bench
	name  string

	mu     sync.Mutex
	all    []Arrival
	outage Outage
}

// take notes an arrival.
func (i *inbox) take(r *record.Record) {
	a := i.bench.arrival(r)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, a)
}

func (b *Bench) arrival(r *record.Record) Arrival {
	a := Arrival{
		Doc: record.AppendJSON(nil, r), Key: strings.Clone(r.Key), Step: b.step, At: b.clock.elapsed(),
		number: math.MaxInt, time: r.Time,
	}
	if m := b.message(r.Origin); m != nil {
		a.number = m.number
	}
	return a
}

// sink is an inbox as the sink of a flow.
type sink struct{ *inbox }

var _ stage.Sink = sink{}

func (i *inbox) spec(real stage.SinkSpec) stage.SinkSpec {
	real.New, real.Terminal = func(stage.Runtime) stage.Sink { return sink{i} }, false
	return real
}

func (s sink) Open(context.Context) error { return nil }

func (s sink) Write(_ context.Context, records []record.Record) (int, error) {
	for n := range records {
		if err := s.refuses(&records[n]); err != nil {
			return n, err
		}
		s.take(&records[n])
	}
	return len(records), nil
}

func (i *inbox) refuses(r *record.Record) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	o := &i.outage
	if o.Times == 0 || o.Only != nil && !o.Only(record.AppendJSON(nil, r)) {
		return nil
	}
	o.Times--
	return o.error()
}

func (s sink) Flush(done func(error)) { done(nil) }
func (s sink) Close() error           { return nil }
