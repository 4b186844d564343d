package stagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// counter counts the records of a key and emits the count with every third of
// them. It is right but for the fault that it has.
type counter struct {
	fault  string
	counts map[string]int
	dirty  map[string]bool
	shared *int
	kept   *record.Record
}

func (o *counter) Process(c *stage.Context, r *record.Record) stage.Verdict {
	key := strings.Clone(r.Key)
	o.counts[key]++
	o.dirty[key] = true
	switch {
	case o.fault == "passes what it absorbs" && o.counts[key] == 2:
		c.Emit(*r)
		return stage.Pass
	case o.fault == "holds without telling" && o.counts[key] == 2:
		return stage.Hold
	case o.fault == "loses a letter" && o.counts[key] == 2:
		return stage.Gone
	case o.fault == "panics" && o.counts[key] == 2:
		panic("oh")
	case o.fault == "keeps memory" && o.kept != nil:
		c.Emit(*o.kept)
	case o.fault == "shares state":
		*o.shared++
		o.counts[key] = *o.shared
	}
	if o.kept = nil; o.fault == "keeps memory" {
		kept := *r
		o.kept = &kept
	}
	if o.counts[key]%3 == 0 || o.fault == "shares state" {
		payload := fmt.Appendf(nil, `{"key":%q,"n":%d}`, key, o.counts[key])
		c.Emit(record.Record{Payload: payload, Key: key, Time: r.Time, Watermark: r.Watermark})
	}
	return stage.Absorb
}

func (o *counter) Advance(c *stage.Context) {
	if o.fault == "emits at every batch" {
		c.Emit(record.Record{Payload: []byte(`{}`), Time: c.Watermark, Watermark: c.Watermark})
	}
}

func (o *counter) Snapshot(w stage.StateWriter) {
	for key := range o.dirty {
		if o.fault == "state of no key" {
			w.Put("other", []byte{1})
		}
		if o.fault != "forgets" {
			w.Put(key, []byte{byte(o.counts[key]), 'x'})
		}
	}
	clear(o.dirty)
}

func (o *counter) Restore(key string, value []byte) error {
	if o.fault == "trusts its state" {
		o.counts[key] = int(value[0]) * len([]int{1, 2, 3}[value[0]:])
		return nil
	}
	if len(value) != 2 || value[1] != 'x' {
		return errors.New("damaged")
	}
	o.counts[key] = int(value[0])
	return nil
}

func (o *counter) Size() (keys int, bytes int64) {
	for key := range o.counts {
		bytes += int64(len(key) + 2)
	}
	if o.fault == "tells a wrong size" {
		bytes++
	}
	return len(o.counts), bytes
}

func counting(fault string) *built {
	shared := 0
	b := &built{builder: &stage.Builder{Layout: record.NewLayout(), Schema: &expr.Schema{Open: true}}}
	key := b.builder.KeyBy([]conf.Text{{Value: "id % 3"}})
	if key.Len() != 1 {
		panic("no key")
	}
	b.projector = record.NewProjector(b.builder.Layout)
	b.operator = stage.OperatorSpec{Stateful: true, Makes: true, Text: "counts", Signature: "counter", New: func() stage.Operator {
		return &counter{fault: fault, counts: map[string]int{}, dirty: map[string]bool{}, shared: &shared}
	}}
	b.operator.Explain = func(_ string, value []byte) ([]byte, error) {
		if fault == "explains nothing" {
			return nil, nil
		}
		return fmt.Appendf(nil, `{"count":%d}`, value[0]), nil
	}
	return b
}

// TestTheSuiteFindsFaults gives operators with one fault each to the suite,
// and one without.
func TestTheSuiteFindsFaults(t *testing.T) {
	type property = func(*checked, *built, *rand.Rand) string
	for fault, find := range map[string]property{
		"passes what it absorbs": (*checked).steps,
		"holds without telling":  (*checked).steps,
		"loses a letter":         (*checked).steps,
		"panics":                 (*checked).steps,
		"state of no key":        (*checked).steps,
		"tells a wrong size":     (*checked).steps,
		"keeps memory":           (*checked).memory,
		"emits at every batch":   (*checked).padding,
		"shares state":           (*checked).padding,
		"forgets":                (*checked).restarts,
		"trusts its state":       (*checked).damage,
		"explains nothing":       (*checked).explains,
	} {
		c := &checked{seed: 1}
		tried := 0
		for problem := ""; problem == ""; tried++ {
			if tried == 20 {
				t.Errorf("%s: not found", fault)
				break
			}
			problem = find(c, counting(fault), c.rnd(uint64(tried)))
		}
	}
	c := &checked{seed: 1}
	for i, p := range []property{
		(*checked).steps, (*checked).memory, (*checked).padding, (*checked).independence, (*checked).restarts,
		(*checked).panics, (*checked).ends, (*checked).damage, (*checked).explains,
	} {
		if problem := p(c, counting(""), c.rnd(uint64(i))); problem != "" {
			t.Errorf("property %d of an operator that is right: %s", i, problem)
		}
	}
}

// grip holds two records. It is right but for the fault that it has.
type grip struct {
	fault string
	held  []kept
}

type kept struct {
	r    record.Record
	held stage.Held
}

func (o *grip) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if len(o.held) == 2 {
		c.Release(o.held[0].r, nil)
		o.held = o.held[1:]
	}
	one := r.Clone()
	if o.fault == "keeps memory" {
		one = *r
	}
	o.held = append(o.held, kept{one, stage.Held{Epoch: c.Epoch, Watermark: r.Watermark}})
	return stage.Hold
}

func (o *grip) Held() stage.Held {
	if len(o.held) == 0 {
		return stage.Held{}
	}
	h := o.held[0].held // the oldest has the lowest of both
	h.Records = len(o.held)
	switch o.fault {
	case "epoch":
		h.Epoch = o.held[len(o.held)-1].held.Epoch
	case "watermark":
		h.Watermark = record.MaxTime
	case "number":
		h.Records = 1
	}
	return h
}

func (o *grip) Flush(c *stage.Context) {
	for len(o.held) > 0 {
		if o.fault == "flush" && len(o.held) == 1 {
			return
		}
		c.Release(o.held[0].r, nil)
		o.held = o.held[1:]
	}
}

func TestTheSuiteFindsFaultsOfHolders(t *testing.T) {
	for _, fault := range []string{"", "epoch", "watermark", "number", "flush"} {
		b := &built{builder: &stage.Builder{Layout: record.NewLayout()}}
		b.projector = record.NewProjector(b.builder.Layout)
		b.operator = stage.OperatorSpec{Holds: true, New: func() stage.Operator { return &grip{fault: fault} }}
		c := &checked{seed: 1}
		problem := ""
		for i := uint64(0); i < 20 && problem == ""; i++ {
			problem = c.steps(b, c.rnd(i))
		}
		if (fault == "") != (problem == "") {
			t.Errorf("fault %q: %s", fault, problem)
		}
	}
}
