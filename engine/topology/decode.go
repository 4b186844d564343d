package topology

import (
	"strconv"
	"sync"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// decoder reads the fields of a source's records from their payloads, and
// their event time. Broken ones become dead letters. It is safe for
// concurrent use.
type decoder struct {
	stage     string
	raw       bool
	projector *record.Projector
	slots     int
	time      plan.Time
	nested    *nested // for a source that makes its records
}

var linePath = record.Path{{Key: "line"}}

func (d *decoder) decode(b *record.Batch) {
	if !d.raw {
		d.nested.fill(b)
		if !d.time.Event {
			return
		}
	}
	n := len(b.Records)
	var values []record.Value
	if d.raw {
		values = b.Arena().Values(n * d.slots)
	}
	if d.raw {
		for i := range b.Records {
			b.Records[i].Fields = values[i*d.slots : (i+1)*d.slots : (i+1)*d.slots]
		}
	}
	kept := 0
	for i := 0; i < n; {
		i, kept = d.records(b, i, kept)
	}
	b.Records = b.Records[:kept]
}

// records reads records from i on; see stage.Driver for how it treats a panic.
func (d *decoder) records(b *record.Batch, i, kept int) (next, nowKept int) {
	defer func() {
		if p := recover(); p != nil {
			b.Records[i].Fields = nil
			b.Side = append(b.Side, record.Side{Record: b.Records[i], Kind: record.Dead, Stage: d.stage, Reason: stage.Panicked(p)})
			next, nowKept = i+1, kept
		}
	}()
	for ; i < len(b.Records); i++ {
		r := &b.Records[i]
		if reason := d.record(b, r); reason != "" {
			b.Side = append(b.Side, record.Side{Record: *r, Kind: record.Dead, Stage: d.stage, Reason: where(r) + reason})
			continue
		}
		if kept != i {
			b.Records[kept] = *r
		}
		kept++
	}
	return i, kept
}

func (d *decoder) record(b *record.Batch, r *record.Record) (reason string) {
	if d.raw {
		if err := d.projector.Project(r.Payload, r.Fields); err != nil {
			// The fields of a broken document are not to be trusted.
			r.Fields = nil
			return err.Error()
		}
	}
	if !d.time.Event {
		return ""
	}
	at := r.Field(d.time.Slot)
	if at.Kind() == record.Missing {
		return "time: the record has no field " + d.time.Field
	}
	t, err := record.ParseTime(at, d.time.Layout)
	if err != nil {
		return "time: " + d.time.Field + ": " + err.Error()
	}
	if d.time.MaxAhead > 0 && t > b.Now && t-b.Now > int64(d.time.MaxAhead) {
		return "time: " + record.FormatTime(t) + " is more than max_ahead (" + d.time.MaxAheadText + ") in the future"
	}
	r.Time = t
	return ""
}

// where says which line of its file a record is, for people.
func where(r *record.Record) string {
	if r.Meta == nil {
		return ""
	}
	if line := r.Meta.Lookup(linePath, r.Origin.Seq); line.Kind() == record.Int {
		return "line " + strconv.FormatInt(line.Int(), 10) + ": "
	}
	return ""
}

// decoding is the work on a source's batches.
type decoding struct {
	// work is done by so many workers, behind by one goroutine, batch by batch.
	workers      int
	work, behind func(*record.Batch)
	meter        *meter // of the one goroutine
	name         string
}

// ordered does the work on batches in parallel, and what is behind it in the
// order in which they came. It returns the stream of results. What its meter
// tells of is the last goroutine: it is idle while no batch is there, busy
// while the one that is next is worked on, and blocked while it hands on.
func ordered(wg *sync.WaitGroup, in <-chan any, d decoding) chan any {
	out := make(chan any)
	if d.workers <= 1 {
		wg.Go(func() { d.alone(in, out) })
		return out
	}
	type job struct {
		batch *record.Batch
		done  chan struct{}
		n     int // records before the work, which drops some
	}
	jobs := make(chan job)
	queue := make(chan any, d.workers)
	free := make(chan chan struct{}, d.workers+2)
	for range d.workers + 2 {
		free <- make(chan struct{}, 1)
	}
	wg.Go(func() {
		defer close(jobs)
		defer close(queue)
		for el := range in {
			b := el.(*record.Batch)
			j := job{b, <-free, len(b.Records)}
			queue <- j
			if j.n == 0 {
				j.done <- struct{}{}
				continue
			}
			jobs <- j
		}
	})
	for range d.workers {
		wg.Go(func() {
			for j := range jobs {
				d.work(j.batch)
				j.done <- struct{}{}
			}
		})
	}
	wg.Go(func() {
		defer close(out)
		d.meter.begin(d.name)
		defer d.meter.end()
		for {
			el, ok := d.meter.recv(queue)
			if !ok {
				return
			}
			j := el.(job)
			<-j.done
			free <- j.done
			d.pass(j.batch, j.n, out)
		}
	})
	return out
}

// alone is ordered in one goroutine.
func (d *decoding) alone(in <-chan any, out chan<- any) {
	defer close(out)
	d.meter.begin(d.name)
	defer d.meter.end()
	for {
		el, ok := d.meter.recv(in)
		if !ok {
			return
		}
		b := el.(*record.Batch)
		n := len(b.Records)
		d.work(b)
		d.pass(b, n, out)
	}
}

func (d *decoding) pass(b *record.Batch, records int, out chan<- any) {
	d.behind(b)
	if records > 0 {
		d.meter.called(records)
	}
	d.meter.send(out, b)
}
