package process

import (
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// bench builds steps one behind the other, as a compiler does, and runs
// records through them.
type bench struct {
	layout *record.Layout
	schema *expr.Schema
	key    *stage.Key
	params map[string]record.Value
	diags  diag.List
	specs  []stage.OperatorSpec
	keys   []*stage.Key // that the steps wanted

	fields  *record.Projector
	drivers []*stage.Driver
	seq     uint64
	counts  []stage.Counts
	side    []record.Side
}

func newBench() *bench {
	return &bench{layout: record.NewLayout(), schema: &expr.Schema{Open: true}}
}

// add builds a step; ok is false when that reports errors, and the bench is
// then as it was but for the diagnostics.
func (b *bench) add(yaml string) (ok bool) {
	name, _, _ := strings.Cut(yaml, ":")
	i := slices.IndexFunc(Steps(), func(k stage.Kind) bool { return k.Name == name })
	if i < 0 {
		panic("no step " + name)
	}
	var diags diag.List
	defer func() { b.diags = append(b.diags, diags...) }()
	scope := &conf.Scope{File: "flow.yaml", Source: []byte(yaml), Diags: &diags}
	node := conf.Parse("flow.yaml", []byte(yaml), conf.Limits{}, &diags)
	fields := conf.NewFields(scope, node, "")
	config := Steps()[i].Decode(fields)
	if fields.Finish(); diags.HasErrors() {
		return false
	}
	builder := &stage.Builder{
		Flow: "test", Name: name, Diags: &diags, Layout: b.layout, Schema: b.schema, Key: b.key, Params: b.params,
	}
	spec := Steps()[i].Operator(config, builder)
	if diags.HasErrors() {
		return false
	}
	b.schema, b.key = builder.Schema, builder.Key
	b.specs, b.keys = append(b.specs, spec), append(b.keys, builder.Wanted())
	return true
}

func (b *bench) mustAdd(t tester, steps ...string) *bench {
	t.Helper()
	for _, s := range steps {
		if !b.add(s) {
			t.Fatalf("%s: %v", s, b.diags.Err())
		}
	}
	return b
}

// start makes the operators. No step can be added from then on.
func (b *bench) start(limit int) *bench {
	b.fields = record.NewProjector(b.layout)
	for _, s := range b.specs {
		b.drivers = append(b.drivers, stage.NewDriver("step", s.New(), limit, false))
		b.counts = append(b.counts, stage.Counts{})
	}
	return b
}

// batch makes a batch of payloads that arrive at a time.
func (b *bench) batch(t tester, now int64, payloads ...string) *record.Batch {
	t.Helper()
	in := record.NewBatch(len(payloads))
	in.Now, in.Watermark, in.Ordered = now, now, true
	for _, p := range payloads {
		b.seq++
		r := record.Record{Time: now, Watermark: now, Origin: record.Origin{Seq: b.seq}}
		r.Payload = in.Arena().Bytes(len(p))
		copy(r.Payload, p)
		r.Fields = in.Arena().Values(b.layout.Len())
		if err := b.fields.Project(r.Payload, r.Fields); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		in.Append(r)
	}
	return in
}

// run takes a batch through all steps.
func (b *bench) run(t tester, in *record.Batch) []*record.Batch {
	t.Helper()
	batches := []*record.Batch{in}
	for i, d := range b.drivers {
		var next []*record.Batch
		for _, in := range batches {
			b.keyed(in, b.keys[i], d)
			next = append(next, d.Step(in, nil)...)
		}
		b.counts[i].Add(d.Context.TakeCounts())
		if !b.counts[i].Balanced() {
			t.Fatalf("step %d does not balance: %+v", i, b.counts[i])
		}
		batches = next
	}
	for _, out := range batches {
		b.side = append(b.side, out.Side...)
	}
	return batches
}

// keyed gives records the key that a step wants, as a partition does.
func (b *bench) keyed(in *record.Batch, key *stage.Key, d *stage.Driver) {
	if key == nil {
		return
	}
	for i := range in.Records {
		r := &in.Records[i]
		d.Context.Scope.Record = r
		var values []record.Value
		for _, f := range key.Fields {
			v, _ := f.Program.Eval(&d.Context.Scope)
			values = append(values, v)
		}
		r.Key = string(record.AppendKey(nil, values...))
		r.Hash = record.Hash(r.Key)
	}
}

// docs are the documents of batches, which are given back.
func docs(batches []*record.Batch) []string {
	var all []string
	for _, b := range batches {
		for i := range b.Records {
			all = append(all, string(record.AppendJSON(nil, &b.Records[i])))
		}
		b.Release()
	}
	return all
}

// through is what becomes of payloads that go through steps: documents, and
// the reasons of dead letters with theirs.
func through(t tester, steps []string, payloads ...string) (out, dead []string) {
	t.Helper()
	b := newBench().mustAdd(t, steps...).start(100)
	batches := b.run(t, b.batch(t, 1, payloads...))
	for _, s := range b.side {
		dead = append(dead, string(record.AppendJSON(nil, &s.Record))+" "+s.Reason)
	}
	return docs(batches), dead
}

func equal(t tester, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// like is equal where a * at the end of a text stands for anything.
func like(t tester, what string, got, want []string) {
	t.Helper()
	same := func(got, want string) bool {
		start, open := strings.CutSuffix(want, "*")
		return got == want || open && strings.HasPrefix(got, start)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}
