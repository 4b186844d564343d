package expr

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/telluride-stream/telluride/engine/record"
)

// function is the meaning of a builtin for scalars: of one argument, and of a
// second one, which further ones are joined to in turn. It returns errWhole
// for lists and objects that only the virtual machine takes apart.
type function struct {
	one unary
	two binary
	any bool // more than two arguments
}

// takes says whether the function is there for so many arguments.
func (f function) takes(n int) bool {
	return n == 1 && f.one != nil || n == 2 && f.two != nil || n > 2 && f.any
}

// call applies the function. sites[i] words what argument i+1 may have wrong.
func (f function) call(sites []*site, args []record.Value) (record.Value, error) {
	if len(args) == 1 {
		return f.one(sites[0], args[0])
	}
	v := args[0]
	for i, a := range args[1:] {
		var err error
		if v, err = f.two(sites[i], v, a); err != nil {
			return v, err
		}
	}
	return v, nil
}

// pairs are the sites of a function's first argument with each other one.
func (c *site) pairs() []*site {
	if len(c.operands) < 2 {
		return []*site{c}
	}
	sites := make([]*site, len(c.operands)-1)
	for i := range sites {
		pair := *c
		pair.operands = []span{c.operands[0], c.operands[i+1]}
		sites[i] = &pair
	}
	return sites
}

// scalarFunction is the function of a name; without any for other names.
func scalarFunction(name string) function {
	switch name {
	case "lower":
		return function{one: text1(strings.ToLower)}
	case "upper":
		return function{one: text1(strings.ToUpper)}
	case "trim":
		return function{one: text1(strings.TrimSpace), two: trim}
	case "len":
		return function{one: length}
	case "int":
		return function{one: integer}
	case "float":
		return function{one: float}
	case "string":
		return function{one: toText}
	case "abs":
		return function{one: abs}
	case "round":
		return function{one: rounding(math.Round)}
	case "floor":
		return function{one: rounding(math.Floor)}
	case "ceil":
		return function{one: rounding(math.Ceil)}
	case "min":
		return function{one: single, two: extreme(-1), any: true}
	case "max":
		return function{one: single, two: extreme(1), any: true}
	}
	return function{}
}

// builtin types a call of a builtin with a meaning of its own; false for others.
func (c *check) builtin(n *ast.BuiltinNode) (Type, bool) {
	if !scalarFunction(n.Name).takes(len(n.Arguments)) {
		return Any, false
	}
	for _, a := range n.Arguments {
		if c.facts[a].foreign() {
			return Any, false
		}
	}
	c.need(c.site(n, n.Name, n.Arguments...), n.Arguments...)
	first := c.facts[n.Arguments[0]].typ
	switch n.Name {
	case "lower", "upper", "trim", "string":
		return String, true
	case "len", "int":
		return Int, true
	case "float", "round", "floor", "ceil":
		return Float, true
	case "abs":
		if first == Float {
			return Float, true
		}
		return Number, true
	}
	t := Null // min, max
	for _, a := range n.Arguments {
		at := c.facts[a].typ
		if !at.numeric() {
			at = Number
		}
		t = join(t, at)
	}
	if len(n.Arguments) == 1 && !first.numeric() {
		return Any, true // an empty list has no least number
	}
	return t, true
}

// text1 is a function of one text.
func text1(f func(string) string) unary {
	return func(c *site, a record.Value) (record.Value, error) {
		if a.Kind() != record.String {
			return record.Value{}, c.wrongValues(a)
		}
		return record.StringValue(f(a.Str())), nil
	}
}

func trim(c *site, a, cut record.Value) (record.Value, error) {
	if a.Kind() != record.String || cut.Kind() != record.String {
		return record.Value{}, c.wrongValues(a, cut)
	}
	return record.StringValue(strings.Trim(a.Str(), cut.Str())), nil
}

func length(c *site, a record.Value) (record.Value, error) {
	switch a.Kind() {
	case record.String:
		return record.IntValue(int64(utf8.RuneCountInString(a.Str()))), nil
	case record.List, record.Map:
		return record.Value{}, errWhole
	}
	return record.Value{}, c.wrongValues(a)
}

func integer(c *site, a record.Value) (record.Value, error) {
	switch a.Kind() {
	case record.Int:
		return a, nil
	case record.Float:
		if f := a.Float(); f >= -1<<63 && f < 1<<63 {
			return record.IntValue(int64(f)), nil
		}
		return record.Value{}, c.problem(a.Text()+" is too large for an integer", "")
	case record.String:
		i, err := strconv.Atoi(a.Str())
		if err != nil {
			return record.Value{}, c.notA(a, "an integer")
		}
		return record.IntValue(int64(i)), nil
	}
	return record.Value{}, c.wrongValues(a)
}

func float(c *site, a record.Value) (record.Value, error) {
	switch a.Kind() {
	case record.Int, record.Float:
		return c.finite(a.Float())
	case record.String:
		f, err := strconv.ParseFloat(a.Str(), 64)
		if err != nil || f-f != 0 {
			return record.Value{}, c.notA(a, "a number")
		}
		return record.FloatValue(f), nil
	}
	return record.Value{}, c.wrongValues(a)
}

// toText is string(x). An integer of any size keeps its digits.
func toText(c *site, a record.Value) (record.Value, error) {
	switch a.Kind() {
	case record.String:
		return a, nil
	case record.Bool, record.Int:
		return record.StringValue(a.Text()), nil
	case record.Float:
		text := a.Text()
		if strings.ContainsAny(text, ".eE") {
			text = record.FloatValue(a.Float()).Text()
		}
		return record.StringValue(text), nil
	case record.List, record.Map:
		return record.Value{}, errWhole
	}
	return record.Value{}, c.wrongValues(a)
}

func abs(c *site, a record.Value) (record.Value, error) {
	switch {
	case !a.IsNumber():
		return record.Value{}, c.wrongValues(a)
	case a.Float() < 0:
		return negate(c, a)
	}
	return a, nil
}

func rounding(f func(float64) float64) unary {
	return func(c *site, a record.Value) (record.Value, error) {
		if !a.IsNumber() {
			return record.Value{}, c.wrongValues(a)
		}
		return c.finite(f(a.Float()))
	}
}

// single is min or max of one argument.
func single(c *site, a record.Value) (record.Value, error) {
	switch {
	case a.IsNumber():
		return a, nil
	case a.Kind() == record.List:
		return record.Value{}, errWhole
	}
	return record.Value{}, c.wrongValues(a)
}

// extreme is min for -1 and max for 1.
func extreme(sign int) binary {
	return func(c *site, a, b record.Value) (record.Value, error) {
		if o, ok := record.Compare(a, b); ok && a.IsNumber() {
			if o == -sign {
				return b, nil
			}
			return a, nil
		}
		for _, v := range [...]record.Value{a, b} {
			if !v.IsNumber() && v.Kind() != record.List {
				return record.Value{}, c.wrongValues(a, b)
			}
		}
		return record.Value{}, errWhole
	}
}

// shown is a value as a message shows it.
func shown(v record.Value) string {
	q := []rune(v.Text())
	if len(q) > 40 {
		q = append(q[:39], '…')
	}
	if v.Kind() == record.String {
		return strconv.Quote(string(q))
	}
	return string(q)
}
