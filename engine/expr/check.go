package expr

import (
	"errors"
	"reflect"
	"regexp"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
)

// fact is what the check finds out about a node.
type fact struct {
	typ Type
	// timely says that a time, a duration or the like may be inside, which
	// no record.Value can hold while it is being computed with.
	timely bool
	reads  bool // the node reads a source
}

// foreign says that the value may be of a type that only the virtual machine has.
func (f fact) foreign() bool {
	return f.timely && (f.typ == Any || f.typ == List || f.typ == Map)
}

// check types a resolved tree: first with expr-lang's checker, for what it
// knows of its functions, then in the words and with the types of this package.
type check struct {
	text    *text
	sources map[string]*source
	spans   map[ast.Node]span
	facts   map[ast.Node]fact
	bad     *Error // the first in the source
}

func (c *check) run(root ast.Node) *Error {
	err := checkMachine(c.text, root, c.config())
	c.fact(root)
	if c.bad != nil || err == nil {
		return c.bad
	}
	s := c.text.span(err.Location)
	if s.to == s.from {
		s = c.text.whole()
	}
	message, advice := plainType(err.Message)
	return c.text.problem(s, message, advice)
}

// config is expr-lang's view of the sources.
func (c *check) config() *conf.Config {
	env := types.Map{}
	for name, s := range c.sources {
		switch s.typ {
		case Bool:
			env[name] = types.Bool
		case Int:
			env[name] = types.Int
		case Float:
			env[name] = types.Float64
		case String:
			env[name] = types.String
		case List:
			env[name] = types.TypeOf([]any{})
		case Map:
			env[name] = types.TypeOf(map[string]any{})
		default:
			env[name] = types.Any
		}
		if s.kind == nowSource {
			env[name] = types.TypeOf(time.Time{})
		}
	}
	config := conf.CreateNew()
	config.WithEnv(env)
	return config
}

// checkMachine runs expr-lang's checker, which leaves types at the nodes.
func checkMachine(t *text, root ast.Node, config *conf.Config) *file.Error {
	_, err := new(checker.Checker).Check(&parser.Tree{Node: root, Source: file.NewSource(t.src)}, config)
	if err == nil {
		return nil
	}
	var e *file.Error
	if errors.As(err, &e) {
		return e
	}
	return &file.Error{Message: err.Error()}
}

func (c *check) fail(e *Error) {
	if c.bad == nil || e.Offset < c.bad.Offset {
		c.bad = e
	}
}

// fact types a node and everything under it.
func (c *check) fact(n ast.Node) fact {
	if f, ok := c.facts[n]; ok {
		return f
	}
	f := fact{timely: c.timely(n)}
	children(n, func(child *ast.Node) {
		inner := c.fact(*child)
		f.timely = f.timely || inner.timely
		f.reads = f.reads || inner.reads
	})
	f.typ = c.typ(n)
	if id, ok := n.(*ast.IdentifierNode); ok && c.sources[id.Value] != nil {
		f.reads = true
	}
	c.facts[n] = f
	return f
}

// timely says whether a node by itself makes a value that only the virtual
// machine has.
func (c *check) timely(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		s := c.sources[n.Value]
		return s != nil && s.kind == nowSource
	case *ast.BuiltinNode:
		return n.Name == "date" || n.Name == "duration" || n.Name == "timezone" || n.Name == "now"
	case *ast.CallNode, *ast.BytesNode:
		return true
	}
	return false
}

func (c *check) typ(n ast.Node) Type {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if s := c.sources[n.Value]; s != nil {
			return s.typ
		}
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		c.need(c.site(n, "?", n.Cond), n.Cond)
		return join(c.facts[n.Exp1].typ, c.facts[n.Exp2].typ)
	case *ast.BuiltinNode:
		if t, ok := c.builtin(n); ok {
			return t
		}
	case *ast.PredicateNode:
		return c.facts[n.Node].typ
	}
	return natureType(n.Nature())
}

// site describes the operation at a node.
func (c *check) site(n ast.Node, name string, operands ...ast.Node) *site {
	return newSite(c.text, c.spans, n, name, operands...)
}

// need checks operands against what the operation takes. Operands that only
// the virtual machine can hold are expr-lang's to check.
func (c *check) need(s *site, operands ...ast.Node) bool {
	ok := true
	list := make([]Type, len(operands))
	for i, o := range operands {
		f := c.facts[o]
		if f.foreign() {
			return true
		}
		list[i] = f.typ
		ok = ok && (f.typ == Any || f.typ != Null && s.fits(f.typ))
	}
	if ok && s.pair && len(list) == 2 {
		ok = list[0] == Any || list[1] == Any || list[0].class() == list[1].class()
	}
	if !ok {
		c.fail(s.wrong(list...))
	}
	return ok
}

func (c *check) unary(n *ast.UnaryNode) Type {
	c.need(c.site(n, n.Operator, n.Node), n.Node)
	if n.Operator == "!" || n.Operator == "not" {
		return Bool
	}
	if c.facts[n.Node].foreign() {
		return natureType(n.Nature())
	}
	if c.facts[n.Node].typ == Float {
		return Float
	}
	return Number
}

func (c *check) binary(n *ast.BinaryNode) Type {
	s := c.site(n, n.Operator, n.Left, n.Right)
	l, r := c.facts[n.Left], c.facts[n.Right]
	switch n.Operator {
	case "==", "!=":
		if !l.foreign() && !r.foreign() && l.typ != Null && r.typ != Null {
			c.need(s, n.Left, n.Right)
		}
		return Bool
	case "??":
		if l.typ == Null {
			return r.typ
		}
		return join(l.typ, r.typ)
	case "in":
		c.in(s, n)
		return Bool
	case "matches":
		if p, ok := n.Right.(*ast.StringNode); ok {
			if _, err := regexp.Compile(p.Value); err != nil {
				c.fail(c.text.problem(c.spans[n.Right], "the pattern does not compile: "+plainPattern(err), ""))
			}
		}
		fallthrough
	case "contains", "startsWith", "endsWith":
		if l.typ != Null && r.typ != Null {
			c.need(s, n.Left, n.Right)
		}
		return Bool
	case "..":
		c.need(s, n.Left, n.Right)
		return List
	}
	if l.foreign() || r.foreign() {
		return natureType(n.Nature())
	}
	c.need(s, n.Left, n.Right)
	switch n.Operator {
	case "+":
		if l.typ == String || r.typ == String {
			return String
		}
		if l.typ == Any && r.typ == Any {
			return Any
		}
		fallthrough
	case "-", "*":
		if l.typ == Float || r.typ == Float {
			return Float
		}
		return Number
	case "/", "**", "^":
		return Float
	case "%":
		return Int
	}
	return Bool // comparisons and logic
}

func (c *check) in(s *site, n *ast.BinaryNode) {
	l, r := c.facts[n.Left], c.facts[n.Right]
	if l.foreign() || r.foreign() {
		return
	}
	switch r.typ {
	case String:
		e := s.problem("in needs a list or an object on its right, but "+s.operand(1)+" is text", "contains looks into text, as in name contains \"a\"")
		c.fail(e)
		return
	case Any, List, Map, Null:
	default:
		c.fail(s.problem("in needs a list or an object on its right, but "+s.operand(1)+" is "+r.typ.plain(), ""))
		return
	}
	array, ok := n.Right.(*ast.ArrayNode)
	if !ok || l.typ == Any || l.typ == Null {
		return
	}
	for _, e := range array.Nodes {
		if t := c.facts[e].typ; t == Any || t == Null || t.class() == l.typ.class() {
			return
		}
	}
	if len(array.Nodes) > 0 {
		c.fail(s.problem("this is never true: "+s.operand(0)+" is "+l.typ.plain()+", and nothing in the list is", ""))
	}
}

// natureType is the type that expr-lang's checker found.
func natureType(n *nature.Nature) Type {
	switch {
	case n.Nil:
		return Null
	case n.Type == nil || n.Type.PkgPath() != "":
		return Any
	}
	switch n.Kind {
	case reflect.Bool:
		return Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Int
	case reflect.Float32, reflect.Float64:
		return Float
	case reflect.String:
		return String
	case reflect.Slice, reflect.Array:
		return List
	case reflect.Map:
		return Map
	}
	return Any
}
