package expr

import (
	"github.com/expr-lang/expr/ast"
	"github.com/telluride-stream/telluride/engine/record"
)

// in compiles "x in y" for a range, a list that is written out, and whatever
// turns out to be nil.
func (c *compiler) in(n *ast.BinaryNode) (node, bool) {
	switch y := n.Right.(type) {
	case *ast.BinaryNode:
		if y.Operator == ".." {
			return c.inRange(n, y)
		}
	case *ast.ArrayNode:
		return c.inList(n, y)
	}
	operands, ok := c.operands(n.Left, n.Right)
	if !ok {
		return node{}, false
	}
	x, y := operands[0], operands[1]
	at := c.site(n, "in", n.Left, n.Right)
	return condition(func(s *Scope) (bool, error) {
		if _, err := x.eval(s); err != nil {
			return false, err
		}
		v, err := y.eval(s)
		switch {
		case err != nil:
			return false, err
		case v.IsNil():
			return false, nil
		case v.Kind() == record.List || v.Kind() == record.Map:
			return false, errWhole
		}
		return false, at.notIn(kindType(v.Kind()))
	}), true
}

// notIn says that the right side of in is neither a list nor an object.
func (c *site) notIn(t Type) error {
	return c.problem("in needs a list or an object on its right, but "+c.operand(1)+" is "+t.plain(), "")
}

func (c *compiler) inRange(n, r *ast.BinaryNode) (node, bool) {
	operands, ok := c.operands(n.Left, r.Left, r.Right)
	if !ok {
		return node{}, false
	}
	x, from, to := operands[0], operands[1], operands[2]
	at := c.site(r, "..", r.Left, r.Right)
	return fold(condition(func(s *Scope) (bool, error) {
		v, err := x.eval(s)
		if err != nil {
			return false, err
		}
		a, err := from.eval(s)
		if err != nil {
			return false, err
		}
		b, err := to.eval(s)
		if err != nil {
			return false, err
		}
		return inRange(at, v, a, b)
	}), x, from, to), true
}

func (c *compiler) inList(n *ast.BinaryNode, list *ast.ArrayNode) (node, bool) {
	items, ok := c.operands(list.Nodes...)
	if !ok {
		return node{}, false
	}
	operands, ok := c.operands(n.Left)
	if !ok {
		return node{}, false
	}
	x := operands[0]
	all := append([]node{x}, items...)
	if set := textSet(items); set != nil {
		return fold(condition(func(s *Scope) (bool, error) {
			v, err := x.eval(s)
			if err != nil || v.Kind() != record.String {
				return false, err
			}
			_, ok := set[v.Str()]
			return ok, nil
		}), all...), true
	}
	return fold(condition(func(s *Scope) (bool, error) {
		v, err := x.eval(s)
		if err != nil {
			return false, err
		}
		found := false
		for i := range items { // to the end, since a later one may be an error
			item, err := items[i].eval(s)
			if err != nil {
				return false, err
			}
			found = found || record.Equal(v, item)
		}
		return found, nil
	}), all...), true
}

// textSet is the set of a long list of constant texts, else nil.
func textSet(items []node) map[string]struct{} {
	const short = 8 // comparing is faster than hashing
	if len(items) <= short {
		return nil
	}
	set := make(map[string]struct{}, len(items))
	for _, i := range items {
		if !i.constant || i.value.Kind() != record.String {
			return nil
		}
		set[i.value.Str()] = struct{}{}
	}
	return set
}
