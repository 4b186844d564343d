package expr

import (
	"regexp"
	"strconv"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/conf"
	"github.com/telluride-stream/telluride/engine/record"
)

// patcher prepares a checked tree for the virtual machine: every operator
// whose meaning is this package's becomes a call of the function that the
// closures use.
type patcher struct {
	text      *text
	spans     map[ast.Node]span
	functions conf.FunctionsTable
	done      map[ast.Node]ast.Node // the parser shares nodes
}

func (p *patcher) patch(n ast.Node) ast.Node {
	if d, ok := p.done[n]; ok {
		return d
	}
	d := p.replace(n)
	d.SetLocation(n.Location())
	// What was known of the fields' types does not hold for nil.
	d.SetNature(nature.Nature{})
	p.done[n], p.done[d] = d, d
	p.spans[d] = p.spans[n]
	return d
}

func (p *patcher) children(n ast.Node) {
	children(n, func(child *ast.Node) { *child = p.patch(*child) })
}

// call is a call of a Go function. Its name cannot be written in a source.
func (p *patcher) call(f func(args ...any) (any, error), args ...ast.Node) *ast.CallNode {
	name := "\x00" + strconv.Itoa(len(p.functions))
	p.functions[name] = &builtin.Function{Name: name, Func: f}
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

func (p *patcher) site(n ast.Node, name string, operands ...ast.Node) *site {
	return newSite(p.text, p.spans, n, name, operands...)
}

func (p *patcher) replace(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return p.unary(n)
	case *ast.BinaryNode:
		return p.binary(n)
	case *ast.ConditionalNode:
		at := p.site(n, "?", n.Cond)
		p.children(n)
		n.Cond = p.truth(at, n.Cond)
		return n
	case *ast.MemberNode:
		p.children(n)
		if n.Method {
			return n
		}
		get := builtin.Builtins[builtin.Index["get"]].Func
		return p.call(func(args ...any) (any, error) {
			if v, ok := fetch(args[0], args[1]); ok {
				return v, nil
			}
			return get(args...)
		}, n.Node, n.Property)
	case *ast.SliceNode:
		return p.slice(n)
	case *ast.BuiltinNode:
		return p.builtin(n)
	}
	p.children(n)
	return n
}

// truth makes sure that a patched operand is true or false.
func (p *patcher) truth(at *site, n ast.Node) ast.Node {
	switch b := n.(type) {
	case *ast.BoolNode:
		return n
	case *ast.BinaryNode:
		if b.Operator != "??" && b.Operator != ".." {
			return n // logic: comparisons have become calls
		}
	}
	call := p.call(func(args ...any) (any, error) {
		v, ok := scalar(args[0])
		if !ok {
			return nil, at.foreign(args...)
		}
		return truth(at, v)
	}, n)
	call.SetLocation(n.Location())
	return call
}

func (p *patcher) unary(n *ast.UnaryNode) ast.Node {
	at := p.site(n, n.Operator, n.Node)
	p.children(n)
	var op unary
	switch n.Operator {
	case "-":
		op = negate
	case "+":
		op = positive
	default:
		op = func(c *site, a record.Value) (record.Value, error) {
			b, err := truth(c, a)
			return record.BoolValue(!b), err
		}
	}
	return p.call(func(args ...any) (any, error) {
		v, ok := scalar(args[0])
		if !ok {
			return nil, at.foreign(args...)
		}
		v, err := op(at, v)
		return toMachine(v), err
	}, n.Node)
}

func (p *patcher) binary(n *ast.BinaryNode) ast.Node {
	at := p.site(n, n.Operator, n.Left, n.Right)
	switch n.Operator {
	case "??":
		p.children(n)
		return n
	case "&&", "and", "||", "or":
		left, right := p.site(n, n.Operator, n.Left), p.site(n, n.Operator, n.Right)
		p.children(n)
		n.Left, n.Right = p.truth(left, n.Left), p.truth(right, n.Right)
		return n
	case "..":
		p.children(n)
		n.Left, n.Right = p.integer(at, 0, n.Left), p.integer(at, 1, n.Right)
		return n
	case "in":
		if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
			return p.inRange(n, r)
		}
		p.children(n)
		return p.call(func(args ...any) (any, error) { return at.in(args[0], args[1]) }, n.Left, n.Right)
	case "matches":
		p.children(n)
		return p.call(p.matches(at, n.Right), n.Left, n.Right)
	}
	p.children(n)
	if op := arithmetic(n.Operator); op != nil {
		return p.call(func(args ...any) (any, error) {
			a, okA := scalar(args[0])
			b, okB := scalar(args[1])
			if !okA || !okB {
				return at.foreignBinary(args[0], args[1])
			}
			v, err := op(at, a, b)
			return toMachine(v), err
		}, n.Left, n.Right)
	}
	rel := comparison(n.Operator)
	return p.call(func(args ...any) (any, error) {
		a, okA := scalar(args[0])
		b, okB := scalar(args[1])
		if !okA || !okB {
			return at.foreignBinary(args[0], args[1])
		}
		return rel(at, a, b)
	}, n.Left, n.Right)
}

// integer makes sure that an end of a range is an integer.
func (p *patcher) integer(at *site, i int, n ast.Node) ast.Node {
	call := p.call(func(args ...any) (any, error) {
		if v, ok := args[0].(int); ok {
			return v, nil
		}
		if args[0] == nil {
			return nil, at.missing(i, false)
		}
		return nil, at.problem(at.operand(i)+" is not an integer", "")
	}, n)
	call.SetLocation(n.Location())
	return call
}

func (p *patcher) inRange(n, r *ast.BinaryNode) ast.Node {
	at := p.site(r, "..", r.Left, r.Right)
	args := []ast.Node{p.patch(n.Left), p.patch(r.Left), p.patch(r.Right)}
	return p.call(func(args ...any) (any, error) {
		x, _ := scalar(args[0])
		from, okFrom := scalar(args[1])
		to, okTo := scalar(args[2])
		if !okFrom || !okTo {
			return nil, at.foreign(args[1:]...)
		}
		return inRange(at, x, from, to)
	}, args...)
}

func (p *patcher) matches(at *site, pattern ast.Node) func(args ...any) (any, error) {
	var fixed *regexp.Regexp
	if s, ok := pattern.(*ast.StringNode); ok {
		fixed, _ = regexp.Compile(s.Value)
	}
	return func(args ...any) (any, error) {
		a, okA := scalar(args[0])
		b, okB := scalar(args[1])
		if !okA || !okB {
			return nil, at.foreign(args...)
		}
		re := fixed
		if re == nil && b.Kind() == record.String {
			var err error
			if re, err = regexp.Compile(b.Str()); err != nil {
				return nil, at.problem("the pattern does not compile: "+plainPattern(err), "")
			}
		}
		return texts(func(a, _ string) bool { return re.MatchString(a) })(at, a, b)
	}
}

// slice is "x[from:to]", where an end that is left out is the end.
func (p *patcher) slice(n *ast.SliceNode) ast.Node {
	at := p.site(n, "[:]", n.Node)
	p.children(n)
	args := []ast.Node{n.Node, &ast.NilNode{}, &ast.NilNode{}}
	if n.From != nil {
		args[1] = p.integer(p.site(n, "[:]", n.From), 0, n.From)
	}
	if n.To != nil {
		args[2] = p.integer(p.site(n, "[:]", n.To), 0, n.To)
	}
	return p.call(func(args ...any) (any, error) {
		v, ok := part(args[0], args[1], args[2])
		if !ok {
			return nil, at.foreign(args[0])
		}
		return v, nil
	}, args...)
}
