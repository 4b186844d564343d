package expr

import (
	"github.com/telluride-stream/telluride/engine/record"
)

// calculation is an arithmetic operation. The usual shape, a number and a
// constant, does without looking at the constant's type for every record.
func calculation(operator string, op binary, at *site, l, r node) node {
	if r.constant && r.value.IsNumber() {
		if eval := withConstant(operator, op, at, l, r.value); eval != nil {
			return node{eval: eval}
		}
	}
	return node{eval: func(s *Scope) (record.Value, error) {
		a, err := l.eval(s)
		if err != nil {
			return a, err
		}
		b, err := r.eval(s)
		if err != nil {
			return b, err
		}
		return op(at, a, b)
	}}
}

func withConstant(operator string, op binary, at *site, l node, k record.Value) func(s *Scope) (record.Value, error) {
	c := k.Float()
	var f func(x float64) float64
	switch operator {
	case "+":
		f = func(x float64) float64 { return x + c }
	case "-":
		f = func(x float64) float64 { return x - c }
	case "*":
		f = func(x float64) float64 { return x * c }
	case "/":
		if c == 0 {
			return nil
		}
		f = func(x float64) float64 { return x / c }
	default:
		return nil
	}
	floats := k.Kind() == record.Float || operator == "/" // Int operands give a Float too
	return func(s *Scope) (record.Value, error) {
		a, err := l.eval(s)
		if err != nil {
			return a, err
		}
		if kind := a.Kind(); kind == record.Float || floats && kind == record.Int {
			return at.finite(f(a.Float()))
		}
		return op(at, a, k)
	}
}

// relate is a comparison. A field against a constant is the usual shape.
func relate(operator string, rel relation, at *site, l, r node) node {
	if l.field && r.constant {
		if cond := fieldWithConstant(operator, rel, at, l.slot, r.value); cond != nil {
			return condition(cond)
		}
	}
	return condition(func(s *Scope) (bool, error) {
		a, err := l.eval(s)
		if err != nil {
			return false, err
		}
		b, err := r.eval(s)
		if err != nil {
			return false, err
		}
		return rel(at, a, b)
	})
}

func fieldWithConstant(operator string, rel relation, at *site, slot record.Slot, k record.Value) func(s *Scope) (bool, error) {
	// An integer within 2^53 compares with a float as a float, exactly.
	const exact = 1 << 53
	if k.Kind() == record.Float || k.Kind() == record.Int && -exact <= k.Int() && k.Int() <= exact {
		return numberWithConstant(operator, rel, at, slot, k)
	}
	return func(s *Scope) (bool, error) { return rel(at, s.Record.Field(slot), k) }
}

func numberWithConstant(operator string, rel relation, at *site, slot record.Slot, k record.Value) func(s *Scope) (bool, error) {
	c := k.Float()
	var test func(x float64) bool
	switch operator {
	case "<":
		test = func(x float64) bool { return x < c }
	case "<=":
		test = func(x float64) bool { return x <= c }
	case ">":
		test = func(x float64) bool { return x > c }
	case ">=":
		test = func(x float64) bool { return x >= c }
	}
	return func(s *Scope) (bool, error) {
		v := s.Record.Field(slot)
		if test != nil && v.Kind() == record.Float {
			return test(v.Float()), nil
		}
		return rel(at, v, k)
	}
}
