package window_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages/window"
)

// flow is a compiled window, ready to run.
type flow struct {
	spec      stage.OperatorSpec
	layout    *record.Layout
	schema    *expr.Schema
	projector *record.Projector
	key       *stage.Key
}

// check compiles a stage as the engine would and returns the problems.
func check(src string, params map[string]record.Value) (*flow, diag.List) {
	var diags diag.List
	node := conf.Parse("f.yaml", []byte(src), conf.Limits{}, &diags)
	scope := &conf.Scope{File: "f.yaml", Source: []byte(src), Diags: &diags, Env: func(string) (string, bool) { return "", false }}
	entry := conf.NewFields(scope, node, "")
	kind := window.Stage()
	config := kind.Decode(entry)
	entry.Finish()
	if diags.HasErrors() {
		diags.Sort()
		return nil, diags
	}
	b := &stage.Builder{
		Flow: "f", Name: "window", Diags: &diags, Layout: record.NewLayout(), Schema: &expr.Schema{Open: true}, Params: params,
	}
	spec := kind.Operator(config, b)
	diags.Sort()
	return &flow{spec: spec, layout: b.Layout, schema: b.Schema, projector: record.NewProjector(b.Layout), key: b.Wanted()}, diags
}

func build(t testing.TB, src string) *flow {
	t.Helper()
	f, diags := check(src, nil)
	if diags.HasErrors() {
		t.Fatalf("%s\n%v", src, diags.Err())
	}
	return f
}

// event is one record that comes in.
type event struct {
	json      string
	time      int64
	watermark int64
}

// row is one record that comes out.
type row struct {
	json            string
	time, watermark int64
	id              string
	key             string
}

// lane runs a flow's operator the way the engine does.
type lane struct {
	t       testing.TB
	flow    *flow
	driver  *stage.Driver
	op      stage.Operator
	now     int64
	mark    int64
	rows    []row
	sides   []string // "late: " or "dead: ", and the record
	reasons []string
	counts  stage.Counts
	state   map[string][]byte
	ordered bool
}

func newLane(t testing.TB, f *flow) *lane {
	l := &lane{t: t, flow: f, mark: record.MinTime, state: map[string][]byte{}, ordered: true}
	l.op = f.spec.New()
	l.driver = stage.NewDriver("window", l.op, 7, false)
	return l
}

func (l *lane) Put(key string, value []byte) { l.state[key] = append([]byte(nil), value...) }
func (l *lane) Delete(key string) {
	if _, ok := l.state[key]; !ok {
		l.t.Errorf("Delete of %q, which no snapshot has", key)
	}
	delete(l.state, key)
}

// batch sends some events, and then the time.
func (l *lane) batch(now int64, kind record.BarrierKind, events ...event) {
	l.t.Helper()
	in := record.NewBatch(len(events) + 1)
	for _, e := range events {
		l.mark = max(l.mark, e.watermark)
		in.Records = append(in.Records, l.record(in, e))
	}
	if kind == record.End {
		in.Barrier.Last, l.mark = l.mark, record.MaxTime
	}
	in.Now, in.Watermark, in.Ordered = now, l.mark, l.ordered
	in.Barrier.Kind = kind
	l.now = now
	var w stage.StateWriter
	if kind != record.None {
		w = l
	}
	for _, out := range l.driver.Step(in, w) {
		l.take(out)
		out.Release()
	}
	l.counts.Add(l.driver.Context.TakeCounts())
}

func (l *lane) record(in *record.Batch, e event) record.Record {
	l.t.Helper()
	payload := in.Arena().Bytes(len(e.json))
	copy(payload, e.json)
	r := record.Record{Payload: payload, Fields: in.Arena().Values(l.flow.layout.Len()), Time: e.time, Watermark: e.watermark}
	if err := l.flow.projector.Project(payload, r.Fields); err != nil {
		l.t.Fatal(err)
	}
	var values []record.Value
	for _, f := range l.flow.key.Fields {
		v, err := f.Program.Eval(&expr.Scope{Record: &r})
		if err != nil {
			l.t.Fatal(err)
		}
		values = append(values, v)
	}
	if len(values) > 0 {
		key := record.AppendKey(nil, values...)
		r.Key, r.Hash = string(key), record.Hash(key)
	}
	return r
}

func (l *lane) take(out *record.Batch) {
	for i := range out.Records {
		r := &out.Records[i]
		l.rows = append(l.rows, row{
			json: string(record.AppendJSON(nil, r)), time: r.Time, watermark: r.Watermark, key: r.Key,
			id: r.Meta.Lookup(record.Path{{Key: "message_id"}}, 0).Str(),
		})
	}
	for _, s := range out.Side {
		kind := "dead: "
		if s.Kind == record.Late {
			kind = "late: "
		}
		l.sides = append(l.sides, kind+string(s.Record.Payload))
		l.reasons = append(l.reasons, s.Reason)
	}
}

// restart goes on with a new operator that has only the last snapshot. The
// engine restores the time as well.
func (l *lane) restart() {
	l.t.Helper()
	l.op = l.flow.spec.New()
	for key, value := range l.state {
		if err := l.op.(stage.Stateful).Restore(key, value); err != nil {
			l.t.Fatalf("restore %q: %v", key, err)
		}
	}
	l.driver = stage.NewDriver("window", l.op, 7, false)
	l.driver.Context.Now, l.driver.Context.Watermark = l.now, l.mark
}

// lines are the rows as text, and balance is checked on the way.
func (l *lane) lines() []string {
	l.t.Helper()
	if !l.counts.Balanced() {
		l.t.Errorf("the ledger does not balance: %+v", l.counts)
	}
	if int(l.counts.Emitted) != len(l.rows) {
		l.t.Errorf("emitted %d, but %d came out", l.counts.Emitted, len(l.rows))
	}
	var lines []string
	for _, r := range l.rows {
		lines = append(lines, r.json)
	}
	return lines
}

// object is a row's document.
func (r row) object(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.json), &m); err != nil {
		t.Fatalf("%s: %v", r.json, err)
	}
	return m
}

// near compares documents; floats may differ in their last digits, and those
// named p… are quantiles, which are right within 1 %.
func near(got, want any, name string) bool {
	switch w := want.(type) {
	case float64:
		g, ok := got.(float64)
		tolerance := 1e-9
		if strings.HasPrefix(name, "p") {
			tolerance = 0.0101
		}
		return ok && math.Abs(g-w) <= tolerance*max(1e-6, math.Abs(w))
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k := range w {
			if !near(g[k], w[k], k) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !near(g[i], w[i], "") {
				return false
			}
		}
		return true
	}
	return got == want
}

func equalLines(t testing.TB, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

const second = int64(1e9)

// at makes an event whose watermark is its own time.
func at(seconds float64, format string, args ...any) event {
	t := int64(seconds * 1e9)
	return event{json: fmt.Sprintf(format, args...), time: t, watermark: t}
}

// under gives the event a watermark of its own.
func (e event) under(seconds float64) event {
	e.watermark = int64(seconds * 1e9)
	return e
}
