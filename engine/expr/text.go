package expr

import (
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// span is a stretch of the source, in bytes.
type span struct{ from, to int }

// text is the source of an expression, with what is needed to quote parts of it.
type text struct {
	src    string
	runes  []int // byte offset of each character; nil when all are one byte
	tokens []lexer.Token
	pairs  map[int]int // byte offset of each bracket to that of its partner
}

func newText(src string) *text {
	t := &text{src: src, pairs: map[int]int{}}
	for i := range len(src) {
		if src[i] >= utf8.RuneSelf {
			for at := range src {
				t.runes = append(t.runes, at)
			}
			break
		}
	}
	return t
}

// at is the byte offset of a character, which expr-lang counts in.
func (t *text) at(char int) int {
	switch {
	case char < 0:
		return 0
	case t.runes == nil:
		return min(char, len(t.src))
	case char < len(t.runes):
		return t.runes[char]
	}
	return len(t.src)
}

func (t *text) span(l file.Location) span { return span{t.at(l.From), t.at(l.To)} }

// whole is the source without the space around it.
func (t *text) whole() span {
	from := len(t.src) - len(strings.TrimLeft(t.src, " \t\r\n"))
	return span{from, max(from, len(strings.TrimRight(t.src, " \t\r\n")))}
}

// balanced is the span with the brackets that it cuts through.
func (t *text) balanced(s span) span {
	for i := s.from; i < s.to; i++ {
		p, ok := t.pairs[i]
		switch {
		case !ok:
		case p < s.from:
			s.from, i = p, p-1
		case p >= s.to:
			s.to = p + 1
		}
	}
	return s
}

// quote is the text of a span in one line, shortened when it is long.
func (t *text) quote(s span) string {
	s = t.balanced(s)
	q := strings.Join(strings.Fields(t.src[s.from:s.to]), " ")
	const limit = 60
	if utf8.RuneCountInString(q) > limit {
		q = string([]rune(q)[:limit-1]) + "…"
	}
	return q
}

// children calls f with each child of a node, in the order of the source.
func children(n ast.Node, f func(child *ast.Node)) {
	list := func(nodes []ast.Node) {
		for i := range nodes {
			f(&nodes[i])
		}
	}
	switch n := n.(type) {
	case *ast.UnaryNode:
		f(&n.Node)
	case *ast.BinaryNode:
		f(&n.Left)
		f(&n.Right)
	case *ast.ChainNode:
		f(&n.Node)
	case *ast.MemberNode:
		f(&n.Node)
		f(&n.Property)
	case *ast.SliceNode:
		f(&n.Node)
		if n.From != nil {
			f(&n.From)
		}
		if n.To != nil {
			f(&n.To)
		}
	case *ast.CallNode:
		f(&n.Callee)
		list(n.Arguments)
	case *ast.BuiltinNode:
		list(n.Arguments)
	case *ast.PredicateNode:
		f(&n.Node)
	case *ast.ConditionalNode:
		f(&n.Cond)
		f(&n.Exp1)
		f(&n.Exp2)
	case *ast.VariableDeclaratorNode:
		f(&n.Value)
		f(&n.Expr)
	case *ast.SequenceNode:
		list(n.Nodes)
	case *ast.ArrayNode:
		list(n.Nodes)
	case *ast.MapNode:
		list(n.Pairs)
	case *ast.PairNode:
		f(&n.Key)
		f(&n.Value)
	}
}

// size counts the nodes under n as a walk meets them, up to limit. The parser
// shares nodes (in "a < b < c" and "a ?: b"), so that a walk can meet
// exponentially more of them than the parser made.
func size(n ast.Node, limit int) int {
	count := 1
	children(n, func(child *ast.Node) {
		if count < limit {
			count += size(*child, limit-count)
		}
	})
	return count
}
