package generate

import (
	"fmt"
	"slices"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// rows makes records from expressions. They are evaluated over a record of
// its own layout: index, random and normal, and the fields above.
type rows struct {
	columns []column
	doc     *record.Shape
	layout  *record.Layout
	index   record.Slot
	random  record.Slot
	normal  record.Slot
	// What no expression names is not computed.
	wantRandom, wantNormal bool

	row   record.Record
	scope expr.Scope
}

type column struct {
	name    string
	program *expr.Program
	slot    record.Slot // in the records
	own     record.Slot // in the layout of expressions
	within  []record.Slot
}

func newRows(list []conf.NamedExpr, b *stage.Builder) *rows {
	m := &rows{layout: record.NewLayout()}
	m.index = m.layout.Slot(record.Path{{Key: "index"}})
	m.random = m.layout.Slot(record.Path{{Key: "random"}})
	m.normal = m.layout.Slot(record.Path{{Key: "normal"}})
	known := (&expr.Schema{}).With("index", expr.Int).With("random", expr.Float).With("normal", expr.Float)
	inner := stage.Builder{Flow: b.Flow, Name: b.Name, Span: b.Span, Diags: b.Diags, Dir: b.Dir, Layout: m.layout, Schema: known, Params: b.Params}
	var made []stage.MadeField
	names := map[string]diag.Span{}
	for _, e := range list {
		if before, twice := names[e.Name.Value]; twice {
			b.Errorf(e.Name.Span, "%s: rows: %q was given on line %d already", b.Name, e.Name.Value, before.Start.Line)
			continue
		}
		names[e.Name.Value] = e.Name.Span
		p := inner.Expr(e.Expr)
		if p == nil {
			continue
		}
		m.wantRandom = m.wantRandom || reads(p, "random")
		m.wantNormal = m.wantNormal || reads(p, "normal")
		own := m.layout.Slot(record.Path{{Key: e.Name.Value}})
		inner.Schema = inner.Schema.With(e.Name.Value, p.Type())
		m.columns = append(m.columns, column{name: e.Name.Value, program: p, own: own})
		made = append(made, stage.MadeField{Name: e.Name.Value, Type: p.Type()})
	}
	slots, shape := b.Make(made)
	m.doc = shape
	for i := range m.columns {
		c := &m.columns[i]
		c.slot = slots[i]
		c.within = m.layout.Within(c.name)
	}
	return m
}

func reads(p *expr.Program, name string) bool {
	return slices.ContainsFunc(p.Paths(), func(path record.Path) bool { return path[0].Key == name })
}

func (m *rows) instance() maker {
	own := *m
	own.row.Fields = make([]record.Value, m.layout.Len())
	own.scope = expr.Scope{}
	return &own
}

func (m *rows) group() uint64        { return 1 }
func (m *rows) shape() *record.Shape { return m.doc }

func (m *rows) fill(fields []record.Value, c chance, at int64) error {
	row := &m.row
	clear(row.Fields)
	row.Fields[m.index] = record.IntValue(int64(c.index))
	if m.wantRandom {
		row.Fields[m.random] = record.FloatValue(c.uniform())
	}
	if m.wantNormal {
		row.Fields[m.normal] = record.FloatValue(c.normal())
	}
	m.scope.Record, m.scope.Now = row, at
	for i := range m.columns {
		col := &m.columns[i]
		v, err := col.program.Eval(&m.scope)
		if err != nil {
			return fmt.Errorf("field %q: %w", col.name, err)
		}
		row.Fields[col.own] = v
		if len(col.within) > 0 {
			record.Refresh(row, m.layout, col.name, col.within)
		}
		fields[col.slot] = v
	}
	return nil
}
