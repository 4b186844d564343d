package expr

import (
	"math"
	"math/bits"

	"github.com/telluride-stream/telluride/engine/record"
)

// maxText bounds what + makes, so that an expression cannot eat the memory by
// doubling a text.
const maxText = 1 << 20

// binary is an operation on two values. Closures and the virtual machine call
// the same ones.
type binary func(c *site, a, b record.Value) (record.Value, error)

// unary is an operation on one value.
type unary func(c *site, a record.Value) (record.Value, error)

// arithmetic is the operation of an operator, or nil.
func arithmetic(operator string) binary {
	switch operator {
	case "+":
		return add
	case "-":
		return subtract
	case "*":
		return multiply
	case "/":
		return divide
	case "%":
		return remainder
	case "**", "^":
		return power
	}
	return nil
}

func add(c *site, a, b record.Value) (record.Value, error) {
	switch {
	case a.Kind() == record.Int && b.Kind() == record.Int:
		x, y := a.Int(), b.Int()
		sum := x + y
		if (sum > x) == (y > 0) {
			return record.IntValue(sum), nil
		}
		return record.FloatValue(float64(x) + float64(y)), nil
	case a.IsNumber() && b.IsNumber():
		return c.finite(a.Float() + b.Float())
	case a.Kind() == record.String && b.Kind() == record.String:
		x, y := a.Str(), b.Str()
		if len(x)+len(y) > maxText {
			return record.Value{}, c.problem("the text becomes longer than 1 MiB", "")
		}
		return record.StringValue(x + y), nil
	}
	return record.Value{}, c.wrongValues(a, b)
}

func subtract(c *site, a, b record.Value) (record.Value, error) {
	switch {
	case a.Kind() == record.Int && b.Kind() == record.Int:
		x, y := a.Int(), b.Int()
		diff := x - y
		if (diff < x) == (y > 0) {
			return record.IntValue(diff), nil
		}
		return record.FloatValue(float64(x) - float64(y)), nil
	case a.IsNumber() && b.IsNumber():
		return c.finite(a.Float() - b.Float())
	}
	return record.Value{}, c.wrongValues(a, b)
}

func multiply(c *site, a, b record.Value) (record.Value, error) {
	switch {
	case a.Kind() == record.Int && b.Kind() == record.Int:
		x, y := a.Int(), b.Int()
		if p, ok := product(x, y); ok {
			return record.IntValue(p), nil
		}
		return record.FloatValue(float64(x) * float64(y)), nil
	case a.IsNumber() && b.IsNumber():
		return c.finite(a.Float() * b.Float())
	}
	return record.Value{}, c.wrongValues(a, b)
}

// product is x*y if it fits.
func product(x, y int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(x), magnitude(y))
	if (x < 0) != (y < 0) {
		return -int64(lo), hi == 0 && lo <= 1<<63
	}
	return int64(lo), hi == 0 && lo < 1<<63
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

func divide(c *site, a, b record.Value) (record.Value, error) {
	if a.IsNumber() && b.IsNumber() {
		if b.Float() == 0 {
			return record.Value{}, c.problem("division by zero", "")
		}
		return c.finite(a.Float() / b.Float())
	}
	return record.Value{}, c.wrongValues(a, b)
}

func remainder(c *site, a, b record.Value) (record.Value, error) {
	switch {
	case a.Kind() == record.Int && b.Kind() == record.Int:
		switch b.Int() {
		case 0:
			return record.Value{}, c.problem("division by zero", "")
		case -1:
			return record.IntValue(0), nil
		}
		return record.IntValue(a.Int() % b.Int()), nil
	case a.IsNumber() && b.IsNumber():
		return record.Value{}, c.problem("% takes integers, not numbers with decimals", "int(…) cuts the decimals off")
	}
	return record.Value{}, c.wrongValues(a, b)
}

func power(c *site, a, b record.Value) (record.Value, error) {
	if a.IsNumber() && b.IsNumber() {
		return c.finite(math.Pow(a.Float(), b.Float()))
	}
	return record.Value{}, c.wrongValues(a, b)
}

func negate(c *site, a record.Value) (record.Value, error) {
	switch a.Kind() {
	case record.Int:
		if a.Int() == math.MinInt64 {
			return record.FloatValue(-float64(math.MinInt64)), nil
		}
		return record.IntValue(-a.Int()), nil
	case record.Float:
		return c.finite(-a.Float())
	}
	return record.Value{}, c.wrongValues(a)
}

// positive is the unary +.
func positive(c *site, a record.Value) (record.Value, error) {
	if a.IsNumber() {
		return a, nil
	}
	return record.Value{}, c.wrongValues(a)
}

// finite refuses what no document can hold.
func (c *site) finite(f float64) (record.Value, error) {
	if f-f != 0 { // Inf or NaN
		return record.Value{}, c.outOfRange(f)
	}
	return record.FloatValue(f), nil
}

func (c *site) outOfRange(f float64) error {
	if math.IsNaN(f) {
		return c.problem("the result is not a number", "")
	}
	return c.problem("the result is too large for a number", "")
}
