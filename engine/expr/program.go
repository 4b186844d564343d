package expr

import (
	"errors"
	"fmt"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm"
	"github.com/telluride-stream/telluride/engine/record"
)

// Env is what an expression may name.
type Env struct {
	// Layout gets a slot for every path that the expression reads. Nil: the
	// slots are the expression's own.
	Layout *record.Layout
	// Schema is what is known of the fields; nil: nothing.
	Schema *Schema
	// Params are the constants behind params.
	Params map[string]record.Value
	// Meta lists the names behind meta that records have here; nil: nothing is
	// known of them. One that ends in .* is open: anything may follow it.
	Meta []string
	// Sources are the names of the flow's sources, for meta.source.
	Sources []string
}

// Scope is what an expression is evaluated over. Its owner reuses it from
// record to record; it is not for concurrent use.
type Scope struct {
	Record *record.Record // not nil, unless the expression is constant
	Now    int64          // what now() is, in nanoseconds since 1970

	vm  vm.VM
	env map[string]any
}

// Program is a checked expression. It is immutable: it may be evaluated
// concurrently, with a Scope each.
type Program struct {
	text   *text
	root   node
	whole  *machine // all of it on the virtual machine
	forced bool     // only use whole: for tests
	typ    Type
	paths  []record.Path
	params []string
	hints  []*Error
}

// Compile checks an expression and compiles it. Everything that can be known
// without a record is checked here. An error is an [*Error]; the layout is
// then as it was.
func Compile(source string, env Env) (p *Program, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, &Error{Len: len(source), Message: fmt.Sprintf("the expression cannot be compiled: %v", r)}
		}
	}()
	p, bad := compile(source, env)
	if bad != nil {
		return nil, bad
	}
	return p, nil
}

func compile(source string, env Env) (*Program, *Error) {
	t, tree, bad := parse(source)
	if bad != nil {
		return nil, bad
	}
	r := newResolver(t, env)
	tree = r.resolve(tree)
	if r.bad != nil {
		return nil, r.bad
	}
	k := &check{text: t, sources: r.sources, spans: r.spans, facts: map[ast.Node]fact{}}
	if bad := k.run(tree); bad != nil {
		return nil, bad
	}
	if env.Layout == nil {
		env.Layout = record.NewLayout()
	}
	p := &Program{text: t, params: r.params, typ: k.result(tree)}
	for _, s := range r.order {
		if s.kind == fieldSource {
			p.paths = append(p.paths, s.path)
		}
	}
	p.hintMeta(r.order, env.Meta)
	p.hintDefaults(tree, r)
	if bad := p.build(env.Layout, r, k, tree); bad != nil {
		return nil, bad
	}
	return p, nil
}

func newResolver(t *text, env Env) *resolver {
	return &resolver{
		text: t, env: env,
		sources: map[string]*source{}, spans: map[ast.Node]span{}, done: map[ast.Node]ast.Node{},
	}
}

// build makes the closures, then the programs of the virtual machine, and
// evaluates what is constant.
func (p *Program) build(layout *record.Layout, r *resolver, k *check, tree ast.Node) *Error {
	for _, s := range r.order {
		if s.kind == fieldSource {
			s.slot = layout.Slot(s.path)
		}
	}
	c := &compiler{text: p.text, sources: r.sources, spans: r.spans, facts: k.facts, machines: map[ast.Node]*machine{}}
	p.root = c.expression(tree)
	p.whole = c.machines[tree]
	if p.whole == nil {
		p.whole = &machine{}
		c.machines[tree] = p.whole
	}
	// The whole tree is patched first, since patching moves nodes and the
	// machines below take what it moved.
	reads := map[ast.Node][]*source{}
	for n := range c.machines {
		reads[n] = readsOf(n, r)
	}
	patch := &patcher{text: p.text, spans: r.spans, functions: conf.FunctionsTable{}, done: map[ast.Node]ast.Node{}}
	patched := patch.patch(tree)
	for n, m := range c.machines {
		root := patch.done[n]
		if n == tree {
			root = patched
		}
		if err := m.build(p.text, r.spans[n], root, reads[n], patch.functions); err != nil {
			message, advice := plainType(err.Error())
			return p.text.problem(r.spans[n], message, advice)
		}
	}
	if k.facts[tree].reads || p.root.constant {
		return nil
	}
	v, err := p.Eval(&Scope{})
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return e
		}
		return p.text.problem(p.text.whole(), err.Error(), "")
	}
	p.root = constant(v)
	return nil
}

// readsOf lists the sources under a node.
func readsOf(n ast.Node, r *resolver) []*source {
	seen := map[string]bool{}
	var walk func(n ast.Node)
	walk = func(n ast.Node) {
		if id, ok := n.(*ast.IdentifierNode); ok {
			seen[id.Value] = true
		}
		children(n, func(child *ast.Node) { walk(*child) })
	}
	walk(n)
	var list []*source
	for _, s := range r.order {
		if seen[s.name] {
			list = append(list, s)
		}
	}
	return list
}

// expression compiles the root, where a bare now() is a text.
func (c *compiler) expression(n ast.Node) node {
	if id, ok := n.(*ast.IdentifierNode); ok {
		if s := c.sources[id.Value]; s != nil && s.kind == nowSource {
			return node{eval: func(s *Scope) (record.Value, error) {
				return record.StringValue(record.FormatTime(s.Now)), nil
			}}
		}
	}
	return c.node(n)
}

// result is the type of the whole expression, in which times become text.
func (c *check) result(n ast.Node) Type {
	if t := n.Nature().Type; t != nil && (t.String() == "time.Time" || t.String() == "time.Duration") {
		return String
	}
	return c.facts[n].typ
}

// Type is what is known of the result. It may be nil besides.
func (p *Program) Type() Type { return p.typ }

// Const is the result of an expression that reads nothing of a record.
func (p *Program) Const() (record.Value, bool) { return p.root.value, p.root.constant }

// Slot is the slot of an expression that is just a field.
func (p *Program) Slot() (record.Slot, bool) { return p.root.slot, p.root.field }

// Paths lists the fields that the expression reads, in its order.
func (p *Program) Paths() []record.Path { return p.paths }

// Params lists the params that the expression names, in its order.
func (p *Program) Params() []string { return p.params }

// String is the source.
func (p *Program) String() string { return p.text.src }

// Eval is the expression's value. It never panics. The value may alias the
// record's payload. An error is an [*Error].
func (p *Program) Eval(s *Scope) (record.Value, error) {
	if !p.forced {
		v, err := p.root.eval(s)
		if err != errWhole { //nolint:errorlint // never wrapped, and met for every record
			return v, err
		}
	}
	return p.whole.value(s)
}

// Bool is the value of a condition. It is an error when the value is not true
// or false; nil is neither.
func (p *Program) Bool(s *Scope) (bool, error) {
	if p.root.cond != nil && !p.forced {
		b, err := p.root.cond(s)
		if err != errWhole { //nolint:errorlint // never wrapped, and met for every record
			return b, err
		}
	}
	v, err := p.Eval(s)
	if err != nil {
		return false, err
	}
	if v.Kind() == record.Bool {
		return v.Bool(), nil
	}
	whole := p.text.whole()
	is := " is nil"
	if !v.IsNil() {
		is = " is " + kindType(v.Kind()).plain() + " (" + shown(v) + ")"
	}
	return false, p.text.problem(whole, `"`+p.text.quote(whole)+`"`+is+", not true or false", "")
}
