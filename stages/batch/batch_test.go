package batch

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// build makes the stage of a flow file's entry.
func build(yaml string) (stage.OperatorSpec, *stage.Builder, error) {
	var diags diag.List
	scope := &conf.Scope{File: "flow.yaml", Source: []byte(yaml), Diags: &diags}
	fields := conf.NewFields(scope, conf.Parse("flow.yaml", []byte(yaml), conf.Limits{}, &diags), "")
	config := Stage().Decode(fields)
	fields.Finish()
	if err := diags.Err(); err != nil {
		return stage.OperatorSpec{}, nil, err
	}
	b := &stage.Builder{Name: "batch", Diags: &diags, Layout: record.NewLayout(), Schema: &expr.Schema{Open: true}}
	return Stage().Operator(config, b), b, diags.Err()
}

// arrival is a record of the model.
type arrival struct {
	n               int
	key             string
	doc             string
	at, low, latest int64 // Now, Watermark, Time
	epoch           uint64
}

// model is what the stage holds, in words of arrivals alone.
type model struct {
	size    int
	bytes   int64
	timeout int64
	keyed   bool
	array   bool
	message bool
	groups  [][]arrival // open, in the order in which they began
}

func (m *model) length(group []arrival) int64 {
	n := int64(0)
	for _, a := range group {
		n += int64(len(a.doc))
	}
	switch {
	case m.message && m.array:
		n += int64(len(group)) + 1
	case m.message:
		n += int64(len(group))
	}
	return n
}

// add takes an arrival and returns the groups that go out.
func (m *model) add(a arrival) (out [][]arrival) {
	i := slices.IndexFunc(m.groups, func(g []arrival) bool { return !m.keyed || g[0].key == a.key })
	if i >= 0 && m.bytes > 0 && m.length(append(slices.Clone(m.groups[i]), a)) > m.bytes {
		out = append(out, m.groups[i])
		m.groups = slices.Delete(m.groups, i, i+1)
		i = -1
	}
	if i < 0 {
		i = len(m.groups)
		m.groups = append(m.groups, nil)
	}
	if m.groups[i] = append(m.groups[i], a); len(m.groups[i]) >= m.size {
		out = append(out, m.groups[i])
		m.groups = slices.Delete(m.groups, i, i+1)
	}
	return out
}

func (m *model) advance(now int64) (out [][]arrival) {
	for len(m.groups) > 0 && now-m.groups[0][0].at >= m.timeout {
		out = append(out, m.groups[0])
		m.groups = m.groups[1:]
	}
	return out
}

func (m *model) held() stage.Held {
	var h stage.Held
	for _, g := range m.groups {
		for _, a := range g {
			if h.Records++; h.Records == 1 {
				h.Epoch, h.Watermark = a.epoch, a.low
			}
			h.Epoch, h.Watermark = min(h.Epoch, a.epoch), min(h.Watermark, a.low)
		}
	}
	return h
}

// text is a group as the stage should write it.
func (m *model) text(group []arrival) string {
	var all []string
	for _, a := range group {
		all = append(all, a.doc)
	}
	switch {
	case m.message && m.array:
		return "[" + strings.Join(all, ",") + "]"
	case m.message:
		return strings.Join(all, "\n") + "\n"
	}
	return strings.Join(all, " ")
}

func TestGroupsAreThoseOfTheModelAtEveryPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			size:    rapid.SampledFrom([]int{1, 2, 3, 7, 300}).Draw(t, "size"),
			bytes:   rapid.SampledFrom([]int64{0, 1, 60, 200}).Draw(t, "bytes"),
			timeout: rapid.Int64Range(1, 20).Draw(t, "timeout") * 1e6,
			keyed:   rapid.Bool().Draw(t, "keyed"),
			message: rapid.Bool().Draw(t, "message"),
		}
		yaml := fmt.Sprintf("batch: {size: %d, bytes: %d, timeout: %dms", m.size, m.bytes, m.timeout/1e6)
		if m.keyed {
			yaml += ", by: key"
		}
		if m.message {
			m.array = rapid.Bool().Draw(t, "array")
			yaml += ", as: message, format: " + map[bool]string{true: "json_array", false: "ndjson"}[m.array]
		}
		spec, builder, err := build(yaml + "}")
		if err != nil {
			t.Fatal(err)
		}
		if got := builder.Wanted() != nil; got != m.keyed {
			t.Fatalf("wants a key: %v", got)
		}
		run(t, m, spec.New())
	})
}

// run sends random batches and compares everything behind each of them.
func run(t *rapid.T, m *model, op stage.Operator) {
	d := stage.NewDriver("batch", op, 1000, false)
	var total stage.Counts
	now, watermark, n, epoch := int64(1e9), int64(0), 0, uint64(1)
	d.Context.Epoch = epoch
	most := rapid.SampledFrom([]int{5, 200}).Draw(t, "most")
	for range rapid.IntRange(1, 12).Draw(t, "batches") {
		in := record.NewBatch(8)
		now += rapid.Int64Range(0, 15).Draw(t, "passed") * 1e6
		in.Now = now
		var want [][]arrival
		for range rapid.IntRange(0, most).Draw(t, "records") {
			// Of two sources, the watermark of one may be behind.
			low := watermark - rapid.Int64Range(0, 3).Draw(t, "behind")
			watermark += rapid.Int64Range(0, 2).Draw(t, "progress")
			a := arrival{n: n, key: fmt.Sprintf("%q", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")), at: now, low: low, epoch: epoch}
			a.latest = low + rapid.Int64Range(0, 5).Draw(t, "time")
			a.doc = fmt.Sprintf(`{"n":%d,"x":%q}`, n, strings.Repeat("x", n%30))
			n++
			in.Append(incoming(in, a))
			want = append(want, m.add(a)...)
		}
		in.Watermark = watermark
		want = append(want, m.advance(now)...)
		switch rapid.IntRange(0, 3).Draw(t, "barrier") {
		case 0:
			in.Barrier = record.Barrier{Kind: record.Flush, Epoch: epoch, Held: epoch + 1}
			want = append(want, m.groups...)
			m.groups = nil
		case 1:
			in.Barrier = record.Barrier{Kind: record.Checkpoint, Epoch: epoch, Held: epoch + 1}
		}
		barrier := in.Barrier
		out := d.Step(in, nil)
		compare(t, m, out, want)
		holder := op.(stage.Holder)
		held := m.held()
		if got := holder.Held(); got != held {
			t.Fatalf("holds %+v, want %+v", got, held)
		}
		if barrier.Kind != record.None {
			if last := out[len(out)-1].Barrier; held.Records > 0 && last.Held != min(held.Epoch, epoch+1) || held.Records == 0 && last.Held != epoch+1 {
				t.Fatalf("barrier %+v goes on as %+v, held %+v", barrier, last, held)
			}
			epoch++
		}
		total.Add(d.Context.TakeCounts())
		if !total.Balanced() || total.Held != int64(held.Records) || total.In != uint64(n) {
			t.Fatalf("does not balance: %+v", total)
		}
		for _, b := range out {
			b.Release()
		}
	}
}

// incoming is a record whose memory is that of its batch.
func incoming(in *record.Batch, a arrival) record.Record {
	r := record.Record{Watermark: a.low, Time: a.latest, Origin: record.Origin{Seq: uint64(a.n)}, Key: a.key, Hash: record.Hash(a.key)}
	r.Payload = in.Arena().Bytes(len(a.doc))
	copy(r.Payload, a.doc)
	r.Fields = in.Arena().Values(1)
	l := record.NewLayout()
	l.Slot(record.Path{{Key: "x"}})
	if err := record.NewProjector(l).Project(r.Payload, r.Fields); err != nil {
		panic(err)
	}
	return r
}

func compare(t *rapid.T, m *model, out []*record.Batch, want [][]arrival) {
	var got []string
	for _, b := range out {
		var group []string
		for i := range b.Records {
			r := &b.Records[i]
			if m.message {
				got = append(got, string(record.AppendJSON(nil, r)))
				continue
			}
			var doc struct{ X string }
			text := record.AppendJSON(nil, r)
			if err := json.Unmarshal(text, &doc); err != nil || doc.X != r.Field(0).Str() {
				t.Fatalf("%s has field x %q", text, r.Field(0).Str())
			}
			group = append(group, string(text))
		}
		if len(group) > 0 {
			got = append(got, strings.Join(group, " "))
		}
	}
	var texts []string
	for _, g := range want {
		texts = append(texts, m.text(g))
	}
	if !slices.Equal(got, texts) {
		t.Fatalf("groups\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(texts, "\n     "))
	}
	if m.message {
		envelopes(t, m, out, want)
	}
}

// envelopes checks what a message says besides its text.
func envelopes(t *rapid.T, m *model, out []*record.Batch, want [][]arrival) {
	i := 0
	for _, b := range out {
		for _, r := range b.Records {
			g := want[i]
			i++
			low, latest := g[0].low, g[0].latest
			for _, a := range g {
				low, latest = min(low, a.low), max(latest, a.latest)
			}
			last, key := g[len(g)-1], ""
			if m.keyed {
				key = last.key
			}
			count := r.Meta.Lookup(record.Path{{Key: "count"}}, 0).Int()
			if r.Watermark != low || r.Time != latest || r.Origin.Seq != 0 || count != int64(len(g)) || r.Key != key {
				t.Fatalf("message of %+v: %+v with count %d", g, r, count)
			}
			if m.bytes > 0 && len(g) > 1 && int64(len(r.Payload)) > m.bytes {
				t.Fatalf("message of %d bytes, above %d", len(r.Payload), m.bytes)
			}
		}
	}
}

func TestNewlinesOfAPayloadDoNotCutALine(t *testing.T) {
	spec, _, err := build("batch: {size: 2, as: message, format: ndjson}")
	if err != nil {
		t.Fatal(err)
	}
	d := stage.NewDriver("batch", spec.New(), 10, false)
	in := record.NewBatch(2)
	for range 2 {
		in.Append(record.Record{Payload: []byte("{\n\"a\":1\r\n}")})
	}
	if got := string(d.Step(in, nil)[0].Records[0].Payload); got != "{\"a\":1}\n{\"a\":1}\n" {
		t.Errorf("got %q", got)
	}
}

func TestWhatThePlanKnows(t *testing.T) {
	tests := []struct{ yaml, text string }{
		{"batch: {}", "100 records, 1MiB or 1s"},
		{"batch: {size: 5, bytes: 0, timeout: 2ms, by: [a, b.c], as: message}", "5 records or 2ms, by a, b.c, as json_array"},
	}
	for _, test := range tests {
		spec, b, err := build(test.yaml)
		if err != nil {
			t.Fatal(err)
		}
		message := strings.Contains(test.yaml, "message")
		if spec.Text != test.text || spec.Makes != message || spec.Opaque != message || !spec.Holds || b.Schema.Open == message {
			t.Errorf("%s: %+v", test.yaml, spec)
		}
		if spec.Timer < 1e6 || spec.Timer > 1e8 {
			t.Errorf("%s: timer %s", test.yaml, spec.Timer)
		}
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct{ yaml, want string }{
		{"batch: {size: 0}", "flow.yaml:1:15: batch: size 0 is below the minimum 1; use at least 1"},
		{"batch: {timeout: 0s}", "flow.yaml:1:18: batch: timeout 0s is below the minimum 1ms; use at least 1ms"},
		{"batch: {bytes: x}", "flow.yaml:1:16: batch: bytes: expected a size in bytes"},
		{"batch: {as: list}", "flow.yaml:1:13: batch: as: expected one of records or message"},
		{"batch: {format: ndjson}", "flow.yaml:1:8: batch: format is for messages, but the records go on by themselves; add as: message, or remove format"},
		{"batch: {by: a +}", "flow.yaml:1:"},
	}
	for _, test := range tests {
		if _, _, err := build(test.yaml); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s:\n got %v\nwant %s", test.yaml, err, test.want)
		}
	}
}

// BenchmarkRecords is the cost of a record that is held over the end of its
// batch, by whether it is copied or its batch is kept, and of one that is not.
func BenchmarkRecords(b *testing.B) {
	const each = 512
	for name, yaml := range map[string]string{
		"held/kept":   "batch: {size: 5120, bytes: 0}",
		"held/copied": "batch: {size: 5120, bytes: 0, by: key}",
		"most/passed": "batch: {size: 100}",
		"message":     "batch: {size: 100, as: message}",
	} {
		spec, _, err := build(yaml)
		if err != nil {
			b.Fatal(err)
		}
		l := record.NewLayout()
		for _, f := range []string{"reading", "sensor_id", "line_id"} {
			l.Slot(record.Path{{Key: f}})
		}
		p := record.NewProjector(l)
		payload := []byte(`{"device_id":"device_3","line_id":"line_1","reading":71.234,"sensor_id":"sensor_000123","timestamp":"2024-05-01T12:00:00.000Z"}`)
		b.Run(name, func(b *testing.B) {
			d := stage.NewDriver("batch", spec.New(), each, false)
			b.ReportAllocs()
			for i := 0; i < b.N; i += each {
				b.StopTimer()
				in := record.NewBatch(each)
				for range each {
					r := record.Record{Payload: in.Arena().Bytes(len(payload)), Fields: in.Arena().Values(l.Len()), Key: `"line_1"`}
					copy(r.Payload, payload)
					if err := p.Project(r.Payload, r.Fields); err != nil {
						b.Fatal(err)
					}
					in.Append(r)
				}
				b.StartTimer()
				for _, out := range d.Step(in, nil) {
					out.Release()
				}
			}
		})
	}
}
