package window

import (
	"fmt"
	"math"

	"github.com/DataDog/sketches-go/ddsketch/mapping"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
)

// aggregates is the compiled `aggregate` mapping of one stage. It is
// immutable. Aggregates with the same needs share an argument or a cell.
type aggregates struct {
	args    []argument
	wheres  []*expr.Program // condition i is bit i of a mask
	cells   []cellSpec
	outputs []output
	bins    mapping.IndexMapping // of every quantile
}

// always is the bit of what has no condition.
const always = uint64(1) << 63

// maxWheres is how many different conditions a stage may have.
const maxWheres = 63

// argument is an expression over a record that aggregates take.
type argument struct {
	program *expr.Program
	slot    record.Slot
	field   bool   // the expression is just the field of slot
	mask    uint64 // the conditions under which it is needed
	text    string
}

// cellSpec says what one cell collects.
type cellSpec struct {
	op    op
	arg   int // -1: none
	mask  uint64
	size  int    // sma, collect: values kept; top: values followed
	kinds uint16 // the kinds of values that are taken, bit by record.Kind
	needs string // the same in words
	label string // the aggregate, for messages
}

// output is one field of a result.
type output struct {
	name string
	fn   string
	cell int
	q    float64
	k    int
	typ  expr.Type
}

// inputs holds what the aggregates read from the record at hand.
type inputs struct {
	set  *aggregates
	vals []record.Value // by argument; Missing when no condition needs it
	met  uint64         // conditions that hold
	on   []bool         // by cell: it takes part
}

func newInputs(set *aggregates) inputs {
	return inputs{set: set, vals: make([]record.Value, len(set.args)), on: make([]bool, len(set.cells))}
}

// read evaluates everything that the aggregates need of a record. A reason
// means that the record cannot be aggregated; nothing has changed then.
func (in *inputs) read(scope *expr.Scope, r *record.Record) (reason string) {
	in.met = always
	for i, w := range in.set.wheres {
		ok, err := w.Bool(scope)
		if err != nil {
			return err.Error()
		}
		if ok {
			in.met |= 1 << i
		}
	}
	for i := range in.set.args {
		a := &in.set.args[i]
		if a.mask&in.met == 0 {
			in.vals[i] = record.Value{}
			continue
		}
		if a.field {
			in.vals[i] = r.Field(a.slot)
			continue
		}
		v, err := a.program.Eval(scope)
		if err != nil {
			return err.Error()
		}
		in.vals[i] = v
	}
	return in.choose()
}

// choose decides which cells take part, from vals and met.
func (in *inputs) choose() (reason string) {
	for i := range in.set.cells {
		spec := &in.set.cells[i]
		in.on[i] = spec.mask&in.met != 0
		if spec.arg < 0 || !in.on[i] {
			continue
		}
		v := &in.vals[spec.arg]
		switch {
		case v.IsNil():
			in.on[i] = false
		case spec.kinds>>v.Kind()&1 == 0 || v.Kind() == record.Float && spec.kinds != anyKind && !finite(*v):
			return in.unfit(spec, *v)
		}
	}
	return ""
}

func (in *inputs) unfit(spec *cellSpec, v record.Value) string {
	text := v.Text()
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return fmt.Sprintf("%s: %q is a %s, but %s is needed", spec.label, text, v.Kind(), spec.needs)
}

const (
	anyKind     = ^uint16(0)
	numberKinds = uint16(1<<record.Int | 1<<record.Float)
	orderKinds  = numberKinds | 1<<record.String
)

// finite says whether a value is a number other than NaN and the infinities.
func finite(v record.Value) bool {
	if v.Kind() == record.Int {
		return true
	}
	f := v.Float()
	return v.Kind() == record.Float && f-f == 0
}

// apply adds the record that was read to the cells of a window.
func (in *inputs) apply(cells []cell, at moment) {
	for i := range in.set.cells {
		if !in.on[i] {
			continue
		}
		spec, c := &in.set.cells[i], &cells[i]
		if spec.op == opCount {
			c.n++
			continue
		}
		v := &in.vals[spec.arg]
		switch spec.op {
		case opSum:
			c.n++
			if v.Kind() == record.Int {
				c.addInt(v.Int())
				c.form = max(c.form, formInt)
			} else {
				c.addReal(v.Float())
				c.form = formReal
			}
		case opMin:
			c.extreme(*v, -1)
		case opMax:
			c.extreme(*v, 1)
		case opSpread:
			c.spread(v.Float())
		default:
			c.n++
			if c.store == nil {
				c.store = in.set.newStore(spec)
			}
			c.store.add(*v, at)
		}
	}
}

func (set *aggregates) newStore(spec *cellSpec) store {
	switch spec.op {
	case opFirst:
		return &kept{}
	case opLast:
		return &kept{last: true}
	case opSMA:
		return &ordered{size: spec.size, newest: true}
	case opCollect:
		return &ordered{size: spec.size}
	case opQuantile:
		return newSketch(set.bins)
	case opDistinct:
		return &distinct{}
	case opTop:
		return newTop(spec.size)
	}
	panic(fmt.Sprintf("aggregate %d has no store", spec.op))
}

// merge adds the content of one window's cells to another's. from stays as it
// is and shares nothing with into afterwards.
func (set *aggregates) merge(into, from []cell) {
	for i := range set.cells {
		spec, c, o := &set.cells[i], &into[i], &from[i]
		switch spec.op {
		case opCount:
			c.n += o.n
		case opSum:
			c.n += o.n
			c.mergeSum(o)
		case opMin:
			c.mergeExtreme(o, -1)
		case opMax:
			c.mergeExtreme(o, 1)
		case opSpread:
			c.mergeSpread(o)
		default:
			c.n += o.n
			if o.store == nil {
				continue
			}
			if c.store == nil {
				c.store = set.newStore(spec)
			}
			c.store.merge(o.store)
		}
	}
}

// value is the result of an aggregate. What has no value, such as the mean of
// nothing, is null; so is what no float64 can hold.
func (set *aggregates) value(o *output, cells []cell) record.Value {
	c := &cells[o.cell]
	switch set.cells[o.cell].op {
	case opCount:
		return record.IntValue(c.n)
	case opSum:
		return c.sumOrMean(o.fn)
	case opMin, opMax:
		return c.extremeValue()
	case opSpread:
		return c.spreadValue(o.fn)
	}
	s := c.store
	if s == nil {
		s = set.newStore(&set.cells[o.cell])
	}
	return s.result(o)
}

func (c *cell) sumOrMean(fn string) record.Value {
	switch {
	case fn == "count":
		return record.IntValue(c.n)
	case c.n == 0:
		return record.NullValue()
	case fn == "mean":
		return c.mean()
	case c.form == formInt && c.fitsInt():
		return record.IntValue(int64(c.lo))
	}
	sum, scale := c.sum()
	return number(sum * scale)
}

func (c *cell) mean() record.Value {
	if c.n == 0 {
		return record.NullValue()
	}
	sum, scale := c.sum()
	return number(sum / float64(c.n) * scale)
}

// spreadValue is the variance of a sample, or its root: the divisor is n-1,
// and one value has none.
func (c *cell) spreadValue(fn string) record.Value {
	if c.n < 2 {
		return record.NullValue()
	}
	variance := c.c / float64(c.n-1)
	if fn == "stddev" {
		return number(math.Sqrt(variance))
	}
	return number(variance)
}

func number(f float64) record.Value {
	if f-f != 0 {
		return record.NullValue()
	}
	return record.FloatValue(f)
}
