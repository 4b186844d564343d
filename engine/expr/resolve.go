package expr

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
)

// source is something outside the expression that it reads.
type source struct {
	kind sourceKind
	name string // its canonical text, and its name in the virtual machine
	path record.Path
	typ  Type
	slot record.Slot
	at   span     // where it is named first
	of   []string // of meta.source: the names of the sources
}

type sourceKind uint8

const (
	fieldSource sourceKind = iota
	metaSource
	nowSource
)

// resolver replaces what the tree names by sources and constants. A source is
// an IdentifierNode with the source's name, which is unique in the tree.
type resolver struct {
	text    *text
	env     Env
	sources map[string]*source
	order   []*source
	params  []string
	vars    []string // let variables in scope
	spans   map[ast.Node]span
	done    map[ast.Node]ast.Node // the parser shares nodes
	bad     *Error                // the first in the source
}

func (r *resolver) fail(s span, message, advice string) {
	if e := r.text.problem(s, message, advice); r.bad == nil || e.Offset < r.bad.Offset {
		r.bad = e
	}
}

// resolve returns what stands for the node from now on.
func (r *resolver) resolve(n ast.Node) ast.Node {
	if d, ok := r.done[n]; ok {
		return d
	}
	r.measure(n)
	d := r.replace(n)
	r.done[n], r.done[d] = d, d
	r.spans[d] = r.spans[n]
	d.SetLocation(n.Location())
	return d
}

func (r *resolver) replace(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if !r.variable(n.Value) {
			return r.name(n, n.Value, nil)
		}
		return n
	case *ast.MemberNode:
		if n.Method {
			break
		}
		if root, steps, ok := r.path(n); ok {
			return r.name(n, root, steps)
		}
	case *ast.ChainNode:
		inner := r.resolve(n.Node)
		if id, ok := inner.(*ast.IdentifierNode); ok {
			return id
		}
		n.Node = inner
		return n
	case *ast.VariableDeclaratorNode:
		n.Value = r.resolve(n.Value)
		r.vars = append(r.vars, n.Name)
		n.Expr = r.resolve(n.Expr)
		r.vars = r.vars[:len(r.vars)-1]
		return n
	case *ast.BuiltinNode:
		if n.Name == "now" && len(n.Arguments) <= 1 {
			return r.now(n)
		}
	case *ast.CallNode:
		if member, ok := n.Callee.(*ast.MemberNode); ok {
			r.method(member)
		}
	}
	children(n, func(child *ast.Node) { *child = r.resolve(*child) })
	return n
}

func (r *resolver) variable(name string) bool { return slices.Contains(r.vars, name) }

// path reads a chain of constant steps that starts at a field.
func (r *resolver) path(n ast.Node) (root string, steps record.Path, ok bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, nil, !r.variable(n.Value)
	case *ast.ChainNode:
		return r.path(n.Node)
	case *ast.MemberNode:
		if n.Method {
			return "", nil, false
		}
		root, steps, ok = r.path(n.Node)
		if !ok || root == "params" && len(steps) > 0 {
			return "", nil, false
		}
		switch p := n.Property.(type) {
		case *ast.StringNode:
			return root, append(steps, record.Step{Key: p.Value}), true
		case *ast.IntegerNode:
			return root, append(steps, record.Step{Index: p.Value, List: true}), p.Value >= 0
		}
	}
	return "", nil, false
}

// name resolves a root and the steps behind it.
func (r *resolver) name(n ast.Node, root string, steps record.Path) ast.Node {
	s := r.spans[n]
	key := func() bool { return len(steps) > 0 && !steps[0].List }
	switch root {
	case "$env":
		if !key() {
			r.fail(s, "$env needs the name of a field", `as in $env["odd name"]`)
			return n
		}
		return r.field(n, steps)
	case "meta":
		if !key() {
			r.fail(s, "meta needs a name", `as in meta.queue; a field that is called meta is $env["meta"]`)
			return n
		}
		meta := source{kind: metaSource, name: "meta." + steps.String(), path: steps, at: s}
		if len(steps) == 1 && steps[0].Key == "source" {
			meta.of = r.env.Sources
		}
		return r.source(meta)
	case "params":
		if !key() {
			r.fail(s, "params needs a name", `as in params.limit; a field that is called params is $env["params"]`)
			return n
		}
		return r.param(n, steps[0].Key)
	}
	return r.field(n, append(record.Path{{Key: root}}, steps...))
}

func (r *resolver) field(n ast.Node, path record.Path) ast.Node {
	top, s := path[0].Key, r.spans[n]
	typ, known := r.env.Schema.Lookup(top)
	if !known && !r.env.Schema.open() {
		names := r.env.Schema.Names()
		advice := ""
		if near := diag.Suggest(top, names); near != "" {
			advice = `did you mean "` + near + `"?`
		} else if len(names) > 0 {
			advice = "the fields here are " + strings.Join(names, ", ")
		}
		r.fail(s, `unknown field "`+top+`"`, advice)
		return n
	}
	if len(path) > 1 {
		switch {
		case typ == Any || typ == Null, typ == Map && !path[1].List, typ == List && path[1].List:
			typ = Any
		default:
			r.fail(s, top+" is "+typ.plain()+", it has no "+path[1:].String(), "")
			return n
		}
	}
	name := path.String()
	if top == "meta" || top == "params" || strings.HasPrefix(top, "$") {
		name = `$env["` + top + `"]` + strings.TrimPrefix(name, top)
	}
	return r.source(source{kind: fieldSource, name: name, path: path, typ: typ})
}

func (r *resolver) source(s source) ast.Node {
	if _, ok := r.sources[s.name]; !ok {
		r.sources[s.name] = &s
		r.order = append(r.order, &s)
	}
	return &ast.IdentifierNode{Value: s.name}
}

// param is a constant, so that it is checked and folded as if it were written out.
func (r *resolver) param(n ast.Node, name string) ast.Node {
	v, ok := r.env.Params[name]
	if !ok {
		names := make([]string, 0, len(r.env.Params))
		for k := range r.env.Params {
			names = append(names, k)
		}
		slices.Sort(names)
		advice := "the flow has no params"
		if near := diag.Suggest(name, names); near != "" {
			advice = `did you mean "` + near + `"?`
		} else if len(names) > 0 {
			advice = "the params are " + strings.Join(names, ", ")
		}
		r.fail(r.spans[n], `unknown param "`+name+`"`, advice)
		return n
	}
	if !slices.Contains(r.params, name) {
		r.params = append(r.params, name)
	}
	return literal(v)
}

// literal is a node for a constant.
func literal(v record.Value) ast.Node {
	switch v.Kind() {
	case record.Bool:
		return &ast.BoolNode{Value: v.Bool()}
	case record.Int:
		return &ast.IntegerNode{Value: int(v.Int())}
	case record.Float:
		return &ast.FloatNode{Value: v.Float()}
	case record.String:
		return &ast.StringNode{Value: v.Str()}
	case record.List, record.Map:
		return &ast.ConstantNode{Value: toMachine(v)}
	}
	return &ast.NilNode{}
}

// now replaces the builtin that reads the clock by the time of the batch.
func (r *resolver) now(n *ast.BuiltinNode) ast.Node {
	id := r.source(source{kind: nowSource, name: "now()"})
	if len(n.Arguments) == 0 {
		return id
	}
	r.spans[id] = r.spans[n]
	r.done[id] = id
	zone := r.resolve(n.Arguments[0])
	in := &ast.MemberNode{Node: id, Property: &ast.StringNode{Value: "In"}, Method: true}
	return &ast.CallNode{Callee: in, Arguments: []ast.Node{zone}}
}

// method rejects calls on fields: only times and durations have functions of
// their own, and no field is one.
func (r *resolver) method(n *ast.MemberNode) {
	root, steps, ok := r.path(n.Node)
	name, isName := n.Property.(*ast.StringNode)
	if !ok || !isName {
		return
	}
	r.measure(n)
	if root == "$env" && len(steps) == 0 || root == "meta" || root == "params" {
		return
	}
	what := r.text.quote(r.spans[n.Node])
	r.fail(r.spans[n], what+" is a field, it has no function "+name.Value,
		"functions are written around it, as in lower("+what+"); date("+what+") makes a time of text")
}

// measure notes the stretch of source that a node covers.
func (r *resolver) measure(n ast.Node) span {
	if s, ok := r.spans[n]; ok {
		return s
	}
	s := span{-1, -1}
	cover := func(c span) {
		if c.from < 0 {
			return
		}
		if s.from < 0 || c.from < s.from {
			s.from = c.from
		}
		s.to = max(s.to, c.to)
	}
	switch n := n.(type) {
	case *ast.ConditionalNode, *ast.PairNode:
		// Their locations are not their own.
	case *ast.BuiltinNode, *ast.CallNode:
		c := r.text.span(n.Location())
		rest := r.text.src[c.to:]
		open := c.to + len(rest) - len(strings.TrimLeft(rest, " \t\r\n"))
		if end, ok := r.text.pairs[open]; ok && end > open {
			c.to = end + 1
		}
		cover(c)
	case *ast.PointerNode: // its location is that of the #
		c := r.text.span(n.Location())
		c.to += len(n.Name)
		cover(c)
	default:
		cover(r.text.span(n.Location()))
	}
	children(n, func(child *ast.Node) { cover(r.measure(*child)) })
	r.spans[n] = s
	return s
}
