package expr

import (
	"strings"

	"github.com/telluride-stream/telluride/engine/record"
)

// relation is an operation on two values that is true or false.
type relation func(c *site, a, b record.Value) (bool, error)

// comparison is the relation of an operator, or nil.
func comparison(operator string) relation {
	switch operator {
	case "==":
		return func(_ *site, a, b record.Value) (bool, error) { return record.Equal(a, b), nil }
	case "!=":
		return func(_ *site, a, b record.Value) (bool, error) { return !record.Equal(a, b), nil }
	case "<":
		return func(c *site, a, b record.Value) (bool, error) {
			o, err := order(c, a, b)
			return o < 0, err
		}
	case "<=":
		return func(c *site, a, b record.Value) (bool, error) {
			o, err := order(c, a, b)
			return o <= 0 && err == nil, err
		}
	case ">":
		return func(c *site, a, b record.Value) (bool, error) {
			o, err := order(c, a, b)
			return o > 0, err
		}
	case ">=":
		return func(c *site, a, b record.Value) (bool, error) {
			o, err := order(c, a, b)
			return o >= 0 && err == nil, err
		}
	case "contains":
		return texts(strings.Contains)
	case "startsWith":
		return texts(strings.HasPrefix)
	case "endsWith":
		return texts(strings.HasSuffix)
	}
	return nil
}

func order(c *site, a, b record.Value) (int, error) {
	if o, ok := record.Compare(a, b); ok {
		return o, nil
	}
	return 0, c.wrongValues(a, b)
}

// texts is a relation between texts. It is false when one of them is nil.
func texts(f func(a, b string) bool) relation {
	return func(c *site, a, b record.Value) (bool, error) {
		switch {
		case a.IsNil() || b.IsNil():
			return false, nil
		case a.Kind() == record.String && b.Kind() == record.String:
			return f(a.Str(), b.Str()), nil
		}
		return false, c.wrongValues(a, b)
	}
}

// inRange is "x in from..to": whether x equals one of the integers.
func inRange(c *site, x, from, to record.Value) (bool, error) {
	if from.Kind() != record.Int || to.Kind() != record.Int {
		return false, c.wrongValues(from, to)
	}
	switch x.Kind() {
	case record.Int:
		return from.Int() <= x.Int() && x.Int() <= to.Int(), nil
	case record.Float:
		f := x.Float()
		if f != f || f < -1<<63 || f >= 1<<63 || f != float64(int64(f)) {
			return false, nil
		}
		return from.Int() <= int64(f) && int64(f) <= to.Int(), nil
	}
	return false, nil
}

// truth is a value as a condition.
func truth(c *site, v record.Value) (bool, error) {
	if v.Kind() == record.Bool {
		return v.Bool(), nil
	}
	return false, c.wrongValues(v)
}
