package expr

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm/runtime"
	"github.com/telluride-stream/telluride/engine/record"
)

// builtin patches the builtins that have a meaning of this package's.
func (p *patcher) builtin(n *ast.BuiltinNode) ast.Node {
	at := p.site(n, n.Name, n.Arguments...)
	if f := scalarFunction(n.Name); f.takes(len(n.Arguments)) {
		p.children(n)
		return p.call(scalars(at, f, n.Name), n.Arguments...)
	}
	switch n.Name {
	case "keys", "values", "toPairs":
		p.children(n)
		if len(n.Arguments) == 1 {
			name := n.Name
			return p.call(func(args ...any) (any, error) { return at.object(name, args[0]) }, n.Arguments...)
		}
		return n
	case "toJSON":
		p.children(n)
		return p.call(compactJSON, n.Arguments...)
	case "sum":
		return p.sum(n, at)
	case "all", "none", "any", "one", "filter", "find", "findIndex", "findLast", "findLastIndex", "count":
		p.predicate(n)
	case "map", "groupBy", "sortBy", "reduce":
		p.children(n)
	default:
		p.children(n)
		return n
	}
	n.Arguments[0] = p.list(at, n.Arguments[0])
	return n
}

// predicate patches a builtin whose second argument is a condition.
func (p *patcher) predicate(n *ast.BuiltinNode) {
	var body *ast.PredicateNode
	var at *site
	if len(n.Arguments) > 1 {
		if b, ok := n.Arguments[1].(*ast.PredicateNode); ok {
			body, at = b, p.site(b, "?", b.Node)
		}
	}
	p.children(n)
	if body == nil {
		return
	}
	at.name, at.span, at.needs = n.Name, p.spans[n], "true or false behind the comma"
	body.Node = p.truth(at, body.Node)
}

// list makes sure that an argument is a list.
func (p *patcher) list(at *site, n ast.Node) ast.Node {
	call := p.call(func(args ...any) (any, error) {
		if args[0] == nil {
			return nil, at.missing(0, false)
		}
		switch reflect.TypeOf(args[0]).Kind() {
		case reflect.Slice, reflect.Array:
			return args[0], nil
		}
		return nil, at.problem(at.name+" needs a list, but "+at.operand(0)+" is "+typeOf(args[0]), "")
	}, n)
	call.SetLocation(n.Location())
	return call
}

// scalars is a function of this package's as one of the virtual machine's.
func scalars(at *site, f function, name string) func(args ...any) (any, error) {
	own, sites := builtin.Builtins[builtin.Index[name]], at.pairs()
	return func(args ...any) (any, error) {
		values := make([]record.Value, len(args))
		elsewhere := false
		for i, a := range args {
			v, ok := scalar(a)
			if !ok {
				elsewhere = true
				continue
			}
			if v.IsNil() {
				return nil, at.missing(i, false)
			}
			values[i] = v
		}
		if !elsewhere {
			v, err := f.call(sites, values)
			return toMachine(v), err
		}
		switch {
		case name == "string":
			v, err := fromMachine(args[0])
			return v.Text(), err
		case name == "min" || name == "max":
			return at.extreme(name, args)
		case own.Fast != nil:
			return own.Fast(args[0]), nil
		}
		return own.Func(args...)
	}
}

// extreme is min or max when lists are among the arguments.
func (c *site) extreme(name string, args []any) (any, error) {
	var flat []record.Value
	var collect func(x any) error
	collect = func(x any) error {
		if v, ok := scalar(x); ok {
			if !v.IsNumber() {
				return c.problem(c.name+" needs numbers, but the list has "+kindType(v.Kind()).plain()+" in it", "")
			}
			flat = append(flat, v)
			return nil
		}
		r := reflect.ValueOf(x)
		if r.Kind() != reflect.Slice && r.Kind() != reflect.Array {
			return c.problem(c.name+" needs numbers, but it got "+typeOf(x), "")
		}
		for i := range r.Len() {
			if err := collect(r.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	}
	for _, a := range args {
		if err := collect(a); err != nil {
			return nil, err
		}
	}
	if len(flat) == 0 {
		return nil, nil
	}
	best, better := flat[0], scalarFunction(name).two
	for _, v := range flat[1:] {
		best, _ = better(c, best, v) // no error between numbers
	}
	return toMachine(best), nil
}

// sum is sum(list) and sum(list, term), added up as + does.
func (p *patcher) sum(n *ast.BuiltinNode, at *site) ast.Node {
	p.children(n)
	list := p.list(at, n.Arguments[0])
	if len(n.Arguments) == 2 {
		mapped := &ast.BuiltinNode{Name: "map", Arguments: []ast.Node{list, n.Arguments[1]}}
		mapped.SetLocation(n.Location())
		list = mapped
	}
	return p.call(func(args ...any) (any, error) {
		r := reflect.ValueOf(args[0])
		total := record.IntValue(0)
		for i := range r.Len() {
			v, ok := scalar(r.Index(i).Interface())
			if !ok || !v.IsNumber() {
				return nil, at.problem("sum needs numbers, but the list has "+typeOf(r.Index(i).Interface())+" in it", "")
			}
			var err error
			if total, err = add(at, total, v); err != nil {
				return nil, err
			}
		}
		return toMachine(total), nil
	}, list)
}

// compactJSON is toJSON, in the form that records are written in.
func compactJSON(args ...any) (any, error) {
	v, err := fromMachine(args[0])
	if err != nil {
		return nil, err
	}
	return string(record.AppendValue(nil, v)), nil
}

// object is keys, values and toPairs, in the order of the keys.
func (c *site) object(name string, x any) (any, error) {
	if x == nil {
		return nil, c.missing(0, false)
	}
	m := reflect.ValueOf(x)
	if m.Kind() != reflect.Map {
		return nil, c.problem(name+" needs an object, but "+c.operand(0)+" is "+typeOf(x), "")
	}
	list := make([]any, 0, m.Len())
	for _, k := range sortedKeys(m) {
		key, value := k.Interface(), m.MapIndex(k).Interface()
		switch name {
		case "keys":
			list = append(list, key)
		case "values":
			list = append(list, value)
		default:
			list = append(list, []any{key, value})
		}
	}
	return list, nil
}

// in is "needle in x".
func (c *site) in(needle, x any) (any, error) {
	if x == nil {
		return false, nil
	}
	r := reflect.ValueOf(x)
	switch r.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range r.Len() {
			item := r.Index(i).Interface()
			same, known := equal(needle, item)
			if same || !known && runtime.Equal(item, needle) {
				return true, nil
			}
		}
		return false, nil
	case reflect.Map:
		if k, ok := needle.(string); ok && r.Type().Key().Kind() == reflect.String {
			return r.MapIndex(reflect.ValueOf(k)).IsValid(), nil
		}
		if r.Type().Key().Kind() == reflect.String {
			return false, nil
		}
		for _, k := range r.MapKeys() {
			if same, _ := equal(needle, k.Interface()); same {
				return true, nil
			}
		}
		return false, nil
	}
	return nil, c.problem("in needs a list or an object on its right, but "+c.operand(1)+" is "+typeOf(x), "")
}

// foreign says that an operand has a type that the operation does not take.
func (c *site) foreign(args ...any) error {
	var is []string
	for i, a := range args {
		if a == nil {
			return c.missing(i, false)
		}
		is = append(is, c.operand(i)+" is "+typeOf(a))
	}
	return c.problem(c.name+" needs "+c.needs+", but "+strings.Join(is, " and "), "")
}

// foreignBinary is an operator on lists, objects, times and durations.
func (c *site) foreignBinary(a, b any) (v any, err error) {
	switch c.name {
	case "==", "!=":
		same, known := equal(a, b)
		if !known {
			same = runtime.Equal(a, b)
		}
		return same == (c.name == "=="), nil
	case "contains", "startsWith", "endsWith":
		if a == nil || b == nil {
			return false, nil
		}
		return nil, c.foreign(a, b)
	}
	if a == nil || b == nil {
		return nil, c.foreign(a, b)
	}
	defer func() {
		if recover() != nil {
			v, err = nil, c.foreign(a, b)
		}
	}()
	switch c.name {
	case "+":
		return runtime.Add(a, b), nil
	case "-":
		return runtime.Subtract(a, b), nil
	case "*":
		return runtime.Multiply(a, b), nil
	case "<":
		return runtime.Less(a, b), nil
	case "<=":
		return runtime.LessOrEqual(a, b), nil
	case ">":
		return runtime.More(a, b), nil
	case ">=":
		return runtime.MoreOrEqual(a, b), nil
	}
	return nil, c.foreign(a, b)
}

// typeOf is the type of a value of the virtual machine in plain words.
func typeOf(x any) string {
	if v, ok := scalar(x); ok {
		return kindType(v.Kind()).plain()
	}
	switch reflect.TypeOf(x).Kind() {
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map:
		return "an object"
	}
	return goType(fmt.Sprintf("%T", x))
}
