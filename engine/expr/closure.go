package expr

import (
	"errors"
	"regexp"

	"github.com/expr-lang/expr/ast"
	"github.com/telluride-stream/telluride/engine/record"
)

// errWhole is what a closure returns for values that only the virtual machine
// handles, such as an object on the right of in. The whole expression is then
// evaluated there; closures have no effects, so that starting over is safe.
var errWhole = errors.New("evaluate on the virtual machine")

// node is a compiled part of an expression.
type node struct {
	eval func(s *Scope) (record.Value, error)
	// cond is eval for what is always true or false, without a Value.
	cond     func(s *Scope) (bool, error)
	constant bool
	value    record.Value // when constant
	field    bool         // just a field
	slot     record.Slot  // when field
}

// compiler turns a checked tree into closures, and what closures cannot do
// into programs of the virtual machine.
type compiler struct {
	text     *text
	sources  map[string]*source
	spans    map[ast.Node]span
	facts    map[ast.Node]fact
	machines map[ast.Node]*machine // to be built once every closure is
}

func constant(v record.Value) node {
	return node{constant: true, value: v, eval: func(*Scope) (record.Value, error) { return v, nil }}
}

// condition makes a node of a closure that is true or false.
func condition(cond func(s *Scope) (bool, error)) node {
	return node{cond: cond, eval: func(s *Scope) (record.Value, error) {
		b, err := cond(s)
		if err != nil {
			return record.Value{}, err
		}
		return record.BoolValue(b), nil
	}}
}

// fold evaluates a node whose operands are constant. One that fails stays as
// it is: it may never be reached.
func fold(n node, operands ...node) node {
	for _, o := range operands {
		if !o.constant {
			return n
		}
	}
	v, err := n.eval(&Scope{})
	if err != nil {
		return n
	}
	return constant(v)
}

func (c *compiler) site(n ast.Node, name string, operands ...ast.Node) *site {
	return newSite(c.text, c.spans, n, name, operands...)
}

func (c *compiler) node(n ast.Node) node {
	if !c.facts[n].foreign() {
		if compiled, ok := c.closure(n); ok {
			return compiled
		}
	}
	return c.machine(n)
}

// machine leaves a node to the virtual machine.
func (c *compiler) machine(n ast.Node) node {
	m, ok := c.machines[n]
	if !ok {
		m = &machine{}
		c.machines[n] = m
	}
	return node{eval: m.value}
}

// operands compiles what an operation works on; false when only the virtual
// machine can hold one of them.
func (c *compiler) operands(nodes ...ast.Node) ([]node, bool) {
	compiled := make([]node, len(nodes))
	for i, n := range nodes {
		if c.facts[n].foreign() {
			return nil, false
		}
		compiled[i] = c.node(n)
	}
	return compiled, true
}

func (c *compiler) closure(n ast.Node) (node, bool) {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(record.NullValue()), true
	case *ast.BoolNode:
		return constant(record.BoolValue(n.Value)), true
	case *ast.IntegerNode:
		return constant(record.IntValue(int64(n.Value))), true
	case *ast.FloatNode:
		return constant(record.FloatValue(n.Value)), true
	case *ast.StringNode:
		return constant(record.StringValue(n.Value)), true
	case *ast.ConstantNode:
		v, err := fromMachine(n.Value)
		return constant(v), err == nil
	case *ast.IdentifierNode:
		return c.source(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.BuiltinNode:
		return c.function(n)
	case *ast.CallNode:
		return c.unix(n)
	}
	return node{}, false
}

func (c *compiler) source(n *ast.IdentifierNode) (node, bool) {
	src := c.sources[n.Value]
	if src == nil { // a let variable
		return node{}, false
	}
	switch src.kind {
	case fieldSource:
		slot := src.slot
		return node{field: true, slot: slot, eval: func(s *Scope) (record.Value, error) {
			return s.Record.Field(slot), nil
		}}, true
	case metaSource:
		return node{eval: func(s *Scope) (record.Value, error) { return src.read(s), nil }}, true
	}
	return node{}, false
}

// read is the value of a field or of something of the record's meta.
func (src *source) read(s *Scope) record.Value {
	switch {
	case s.Record == nil:
	case src.kind == fieldSource:
		return s.Record.Field(src.slot)
	case src.of != nil:
		// What a stage made has no delivery, hence no source.
		if o := s.Record.Origin; o.Seq > 0 && o.Source < len(src.of) {
			return record.StringValue(src.of[o.Source])
		}
	case src.kind == metaSource && s.Record.Meta != nil:
		return s.Record.Meta.Lookup(src.path, s.Record.Origin.Seq)
	}
	return record.Value{}
}

// unix is now().Unix() and its like, which need no time of the virtual machine's.
func (c *compiler) unix(n *ast.CallNode) (node, bool) {
	member, ok := n.Callee.(*ast.MemberNode)
	if !ok || len(n.Arguments) > 0 {
		return node{}, false
	}
	id, isID := member.Node.(*ast.IdentifierNode)
	name, isName := member.Property.(*ast.StringNode)
	if !isID || !isName || c.sources[id.Value] == nil || c.sources[id.Value].kind != nowSource {
		return node{}, false
	}
	unit := map[string]int64{"Unix": 1e9, "UnixMilli": 1e6, "UnixMicro": 1e3, "UnixNano": 1}[name.Value]
	if unit == 0 {
		return node{}, false
	}
	return node{eval: func(s *Scope) (record.Value, error) {
		at := s.Now / unit
		if s.Now%unit < 0 { // rounds down, as package time does
			at--
		}
		return record.IntValue(at), nil
	}}, true
}

func (c *compiler) unary(n *ast.UnaryNode) (node, bool) {
	operands, ok := c.operands(n.Node)
	if !ok {
		return node{}, false
	}
	x, at := operands[0], c.site(n, n.Operator, n.Node)
	switch n.Operator {
	case "!", "not":
		cond := c.truth(x, at)
		return fold(condition(func(s *Scope) (bool, error) {
			b, err := cond(s)
			return !b && err == nil, err
		}), x), true
	case "-":
		return fold(apply1(negate, at, x), x), true
	case "+":
		return fold(apply1(positive, at, x), x), true
	}
	return node{}, false
}

func apply1(op unary, at *site, x node) node {
	return node{eval: func(s *Scope) (record.Value, error) {
		v, err := x.eval(s)
		if err != nil {
			return v, err
		}
		return op(at, v)
	}}
}

// truth is a node as a condition.
func (c *compiler) truth(x node, at *site) func(s *Scope) (bool, error) {
	if x.cond != nil {
		return x.cond
	}
	return func(s *Scope) (bool, error) {
		v, err := x.eval(s)
		if err != nil {
			return false, err
		}
		return truth(at, v)
	}
}

func (c *compiler) binary(n *ast.BinaryNode) (node, bool) {
	switch n.Operator {
	case "in":
		return c.in(n)
	case "..":
		return node{}, false
	}
	operands, ok := c.operands(n.Left, n.Right)
	if !ok {
		return node{}, false
	}
	l, r := operands[0], operands[1]
	at := c.site(n, n.Operator, n.Left, n.Right)
	switch n.Operator {
	case "&&", "and", "||", "or":
		return fold(c.logic(n, l, r), l, r), true
	case "??":
		return fold(node{eval: func(s *Scope) (record.Value, error) {
			if v, err := l.eval(s); err != nil || !v.IsNil() {
				return v, err
			}
			return r.eval(s)
		}}, l, r), true
	case "matches":
		return c.matches(at, l, r)
	}
	if op := arithmetic(n.Operator); op != nil {
		return fold(calculation(n.Operator, op, at, l, r), l, r), true
	}
	if rel := comparison(n.Operator); rel != nil {
		return fold(relate(n.Operator, rel, at, l, r), l, r), true
	}
	return node{}, false
}

func (c *compiler) logic(n *ast.BinaryNode, l, r node) node {
	left := c.truth(l, c.site(n, n.Operator, n.Left))
	right := c.truth(r, c.site(n, n.Operator, n.Right))
	if n.Operator == "&&" || n.Operator == "and" {
		return condition(func(s *Scope) (bool, error) {
			if b, err := left(s); !b || err != nil {
				return false, err
			}
			return right(s)
		})
	}
	return condition(func(s *Scope) (bool, error) {
		if b, err := left(s); b || err != nil {
			return b, err
		}
		return right(s)
	})
}

func (c *compiler) matches(at *site, l, r node) (node, bool) {
	if !r.constant || r.value.Kind() != record.String {
		return node{}, false
	}
	re, err := regexp.Compile(r.value.Str())
	if err != nil {
		return node{}, false
	}
	rel := texts(func(a, _ string) bool { return re.MatchString(a) })
	return fold(relate("matches", rel, at, l, r), l, r), true
}

func (c *compiler) conditional(n *ast.ConditionalNode) (node, bool) {
	operands, ok := c.operands(n.Cond, n.Exp1, n.Exp2)
	if !ok {
		return node{}, false
	}
	x, yes, no := operands[0], operands[1], operands[2]
	cond := c.truth(x, c.site(n, "?", n.Cond))
	if x.constant && x.value.Kind() == record.Bool {
		if x.value.Bool() {
			return yes, true
		}
		return no, true
	}
	compiled := node{eval: func(s *Scope) (record.Value, error) {
		b, err := cond(s)
		if err != nil {
			return record.Value{}, err
		}
		if b {
			return yes.eval(s)
		}
		return no.eval(s)
	}}
	return fold(compiled, x, yes, no), true
}

func (c *compiler) function(n *ast.BuiltinNode) (node, bool) {
	f := scalarFunction(n.Name)
	if !f.takes(len(n.Arguments)) {
		return node{}, false
	}
	args, ok := c.operands(n.Arguments...)
	if !ok {
		return node{}, false
	}
	sites := c.site(n, n.Name, n.Arguments...).pairs()
	if len(args) == 1 {
		return fold(apply1(f.one, sites[0], args[0]), args[0]), true
	}
	return fold(node{eval: func(s *Scope) (record.Value, error) {
		v, err := args[0].eval(s)
		if err != nil {
			return v, err
		}
		for i := range args[1:] {
			a, err := args[i+1].eval(s)
			if err != nil {
				return a, err
			}
			if v, err = f.two(sites[i], v, a); err != nil {
				return v, err
			}
		}
		return v, nil
	}}, args...), true
}
