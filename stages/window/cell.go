package window

import (
	"math"
	"math/bits"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
)

// op is what a cell collects.
type op uint8

const (
	opCount op = iota
	opSum      // sum and mean
	opMin
	opMax
	opSpread // variance and stddev
	opFirst
	opLast
	opSMA
	opQuantile
	opDistinct
	opTop
	opCollect
)

// String is the op as signatures have it.
func (o op) String() string { return opNames[o] }

var opNames = [...]string{
	opCount: "count", opSum: "sum", opMin: "min", opMax: "max", opSpread: "spread", opFirst: "first", opLast: "last",
	opSMA: "sma", opQuantile: "quantile", opDistinct: "distinct", opTop: "top", opCollect: "collect",
}

func opNamed(name string) (op, bool) {
	i := slices.Index(opNames[:], name)
	return op(i), i >= 0
}

// constant says that adding to and merging of a cell takes constant time, so
// that sliding windows can keep cells of their parts.
func (o op) constant() bool { return o <= opLast }

// form says which numbers a cell has seen.
type form uint8

const (
	formNone form = iota
	formInt       // only whole numbers
	formReal
	formText // min and max: text
)

// cell is the state of one aggregate in one window. The zero cell is empty.
// The simple aggregates live in the cell itself; the others in its store.
type cell struct {
	n int64 // values taken

	// opSum: the exact sum of the whole numbers, 128 bits, and the
	// compensated sum f+c of the others.
	// opMin, opMax: the number, as lo when it is whole, else as f.
	// opSpread: the mean f, and c, the sum of squared distances from it.
	hi   int64
	lo   uint64
	f, c float64

	store store

	form form
	// scaled says that f and c are to be multiplied by 2^64, since the sum
	// was beyond the range of a float64 at some time.
	scaled bool
}

// store is the state of an aggregate that does not fit a cell.
type store interface {
	// add takes a value, which it clones if it keeps it.
	add(v record.Value, at moment)
	// merge takes the values of another store of the same type, which stays
	// as it is.
	merge(other store)
	result(o *output) record.Value
	encode(e *encoder)
	decode(d *decoder)
}

// moment orders the records of a key: by event time, and by arrival where
// that is equal.
type moment struct {
	time int64
	seq  uint64
}

func (m moment) before(o moment) bool {
	return m.time < o.time || m.time == o.time && m.seq < o.seq
}

// addInt adds to the sum of whole numbers. 128 bits hold the sum of 2^64
// values, hence the order of adding never matters.
func (c *cell) addInt(i int64) {
	lo, carry := bits.Add64(c.lo, uint64(i), 0)
	c.lo = lo
	c.hi += i>>63 + int64(carry)
}

// addReal adds to the compensated sum (Neumaier, "Rundungsfehleranalyse
// einiger Verfahren zur Summation endlicher Summen", 1974).
func (c *cell) addReal(x float64) {
	const down = 0x1p-64
	if c.scaled {
		x *= down
	}
	t := c.f + x
	if math.IsInf(t, 0) && !c.scaled {
		c.scaled = true
		c.f, c.c, x = c.f*down, c.c*down, x*down
		t = c.f + x
	}
	if math.Abs(c.f) >= math.Abs(x) {
		c.c += (c.f - t) + x
	} else {
		c.c += (x - t) + c.f
	}
	c.f = t
}

func (c *cell) mergeSum(o *cell) {
	lo, carry := bits.Add64(c.lo, o.lo, 0)
	c.lo, c.hi = lo, c.hi+o.hi+int64(carry)
	c.form = max(c.form, o.form)
	if o.scaled && !c.scaled {
		const down = 0x1p-64
		c.scaled, c.f, c.c = true, c.f*down, c.c*down
	}
	if c.scaled && !o.scaled {
		c.addReal(o.f)
		c.addReal(o.c)
		return
	}
	scaled := c.scaled
	c.scaled = false // o has the scale of c
	c.addReal(o.f)
	c.addReal(o.c)
	c.scaled = c.scaled || scaled
}

// sum is the sum, and scale by what it is still to be multiplied.
func (c *cell) sum() (sum, scale float64) {
	whole := c.whole()
	if c.scaled {
		return c.f + c.c + whole*0x1p-64, 0x1p64
	}
	return c.f + (c.c + whole), 1
}

func (c *cell) whole() float64 {
	if c.fitsInt() {
		return float64(int64(c.lo))
	}
	return float64(c.hi)*0x1p64 + float64(c.lo)
}

func (c *cell) fitsInt() bool { return c.hi == int64(c.lo)>>63 }

// spread takes a value into mean and squared distances (Welford, "Note on a
// method for calculating corrected sums of squares and products", 1962).
func (c *cell) spread(x float64) {
	c.n++
	d := x - c.f
	c.f += d / float64(c.n)
	c.c += d * (x - c.f)
}

// mergeSpread: Chan, Golub, LeVeque, "Updating formulae and a pairwise
// algorithm for computing sample variances", 1979.
func (c *cell) mergeSpread(o *cell) {
	if o.n == 0 {
		return
	}
	if c.n == 0 {
		c.n, c.f, c.c = o.n, o.f, o.c
		return
	}
	n := float64(c.n + o.n)
	d := o.f - c.f
	c.c += o.c + d*d*(float64(c.n)*float64(o.n)/n)
	c.f += d * (float64(o.n) / n)
	c.n += o.n
}

// extreme takes a value into a minimum (sign -1) or maximum (sign 1). Numbers
// come before texts, so that a mixture has an order too.
func (c *cell) extreme(v record.Value, sign int) {
	c.n++
	if c.form == formReal && v.Kind() == record.Float {
		if x := v.Float(); sign < 0 && x < c.f || sign > 0 && x > c.f {
			c.f = x
		}
		return
	}
	if c.n == 1 || compare(v, c.extremeValue())*sign > 0 {
		c.setExtreme(v)
	}
}

func (c *cell) setExtreme(v record.Value) {
	switch v.Kind() {
	case record.Int:
		c.form, c.lo, c.store = formInt, uint64(v.Int()), nil
	case record.Float:
		c.form, c.f, c.store = formReal, v.Float(), nil
	default:
		c.form, c.store = formText, &kept{value: v.Clone()}
	}
}

func (c *cell) extremeValue() record.Value {
	switch c.form {
	case formInt:
		return record.IntValue(int64(c.lo))
	case formReal:
		return record.FloatValue(c.f)
	case formText:
		return c.store.(*kept).value
	}
	return record.NullValue()
}

func (c *cell) mergeExtreme(o *cell, sign int) {
	if o.n == 0 {
		return
	}
	n := c.n + o.n
	if v := o.extremeValue(); c.n == 0 || compare(v, c.extremeValue())*sign > 0 {
		c.setExtreme(v)
	}
	c.n = n
}

// compare orders numbers and texts: -1, 0 or 1.
func compare(a, b record.Value) int {
	if a.IsNumber() != b.IsNumber() {
		if a.IsNumber() {
			return -1
		}
		return 1
	}
	order, _ := record.Compare(a, b)
	return order
}
