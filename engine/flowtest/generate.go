package flowtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/fixture"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// generate makes messages from expressions.
type generate struct {
	count  int
	every  time.Duration
	seed   int64
	seeded bool
	rows   []conf.NamedExpr

	columns []column
	layout  *record.Layout
}

type column struct {
	name    string
	program *expr.Program
	slot    record.Slot
}

func (g *generate) bind(f *conf.Fields) {
	f.Int(&g.count, "count", 0, "How many messages.").Min(1).Max(10_000_000).Required()
	f.Duration(&g.every, "every", 0, "The time between two of them.").Optional()
	g.seeded = f.Int64(&g.seed, "seed", 0, "Makes the values others. Default: --seed.").Optional().Given()
	f.Exprs(&g.rows, "rows", "The fields, as expressions. They may name the fields above them, and index (0, 1, 2, …), random (evenly distributed from 0 to 1), normal (mean 0, variance 1) and now(), which is the time of the message.").Required().NotEmpty()
}

var made = []string{"index", "random", "normal"}

// compile checks the expressions.
func (g *generate) compile(f *conf.Fields) {
	b := &stage.Builder{Name: "generate", Span: f.Pos(), Diags: f.Scope().Diags, Layout: record.NewLayout()}
	b.Schema = (&expr.Schema{}).With("index", expr.Int).With("random", expr.Float).With("normal", expr.Float)
	for _, name := range made {
		b.Layout.Slot(record.Path{{Key: name}})
	}
	for _, e := range g.rows {
		p := b.Expr(e.Expr)
		if p == nil {
			continue
		}
		b.Schema = b.Schema.With(e.Name.Value, p.Type())
		g.columns = append(g.columns, column{e.Name.Value, p, b.Layout.Slot(record.Path{{Key: e.Name.Value}})})
	}
	g.layout = b.Layout
}

// messages makes the messages of a script that begins at base. start is when
// the first of them is fed.
func (g *generate) messages(seed int64, base time.Time, start time.Duration) ([]fixture.Message, error) {
	if g.seeded {
		seed = g.seed
	}
	all := make([]fixture.Message, g.count)
	var scope expr.Scope
	for i := range all {
		chance := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		r := record.Record{Fields: make([]record.Value, g.layout.Len())}
		r.Fields[0], r.Fields[1], r.Fields[2] = record.IntValue(int64(i)), record.FloatValue(chance.Float64()), record.FloatValue(chance.NormFloat64())
		at := time.Duration(i) * g.every
		scope.Record, scope.Now = &r, base.Add(start+at).UnixNano()
		fields := make([]record.ShapeField, len(g.columns))
		for j, c := range g.columns {
			v, err := c.program.Eval(&scope)
			if err != nil {
				return nil, fmt.Errorf("generate: row %d: %s: %w", i, c.name, err)
			}
			r.Fields[c.slot] = v
			fields[j] = record.ShapeField{Name: c.name, Slot: c.slot}
		}
		r.Shape = record.NewShape(fields...)
		all[i] = fixture.Message{Payload: record.AppendJSON(nil, &r), At: at, Timed: true}
	}
	return all, nil
}
