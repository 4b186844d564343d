package flowtest

import (
	"strings"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Mock takes the place of a stage. One of its fields is set.
type Mock struct {
	// Set passes every record on with these fields, each with its JSON value.
	Set []Field
	// Output makes these records, JSON objects, of every record. An empty list
	// drops it.
	Output [][]byte
	// Error makes a dead letter of every record, with this reason.
	Error string
}

// Field is a field of a record and its JSON value.
type Field struct {
	Name  string
	Value []byte
}

// spec is what stands in place of a stage's own spec.
func (m *Mock) spec(p *plan.Plan) stage.OperatorSpec {
	s := stage.OperatorSpec{Text: "mock", RecordWise: m.Output == nil, Makes: m.Output != nil}
	s.New = func() stage.Operator {
		return &mock{Mock: m, projector: record.NewProjector(p.Layout), slots: p.Layout.Len()}
	}
	return s
}

type mock struct {
	*Mock
	projector *record.Projector
	slots     int
}

func (m *mock) Process(c *stage.Context, r *record.Record) stage.Verdict {
	switch {
	case m.Error != "":
		return c.Dead(r, m.Error)
	case m.Output == nil:
		return m.set(c, r)
	case len(m.Output) == 0:
		return stage.Filter
	}
	for _, doc := range m.Output {
		made := record.Record{
			Payload: doc, Fields: make([]record.Value, m.slots),
			Key: strings.Clone(r.Key), Hash: r.Hash, Time: r.Time, Watermark: r.Watermark,
		}
		if err := m.projector.Project(doc, made.Fields); err != nil {
			return c.Dead(r, "mock: "+err.Error())
		}
		c.Emit(made)
	}
	return stage.Absorb
}

func (m *mock) set(c *stage.Context, r *record.Record) stage.Verdict {
	doc := record.MapValue(string(record.AppendJSON(nil, r)))
	for _, f := range m.Set {
		v := record.ProjectValue(`{"v":`+string(f.Value)+`}`, record.Path{{Key: "v"}})
		next, err := record.SetPath(doc, record.Path{{Key: f.Name}}, v)
		if err != nil {
			return c.Dead(r, "mock: "+err.Error())
		}
		doc = next
	}
	payload := []byte(doc.JSON())
	fields := make([]record.Value, m.slots)
	if err := m.projector.Project(payload, fields); err != nil {
		return c.Dead(r, "mock: "+err.Error())
	}
	r.Payload, r.Fields, r.Shape = payload, fields, nil
	return stage.Pass
}
