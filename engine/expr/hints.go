package expr

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
)

// hint notes what is right by the language, and hardly what was meant.
func (p *Program) hint(s span, message, advice string) {
	p.hints = append(p.hints, p.text.problem(s, message, advice))
}

// Hints are doubts about the expression: it can be evaluated, but hardly
// gives what its author wants.
func (p *Program) Hints() []*Error { return p.hints }

// hintMeta doubts names behind meta that no record has here.
func (p *Program) hintMeta(order []*source, known []string) {
	if known == nil {
		return
	}
	var names []string // without ".*", for suggestions
	for _, name := range known {
		names = append(names, strings.TrimSuffix(name, ".*"))
	}
	for _, s := range order {
		if s.kind != metaSource || knownMeta(s.path, known) {
			continue
		}
		advice := "known: meta." + strings.Join(names, ", meta.")
		if near := diag.Suggest(s.path[0].Key, names); near != "" && near != s.path[0].Key {
			advice = `did you mean "meta.` + near + `"?`
		}
		if len(names) == 0 {
			advice = "the records here have no metadata"
		}
		p.hint(s.at, s.name+" is always nil: no record here has it", advice)
	}
}

// knownMeta says whether a record may have a path of metadata. What a name
// with ".*" stands for is open.
func knownMeta(path record.Path, known []string) bool {
	first := path[0].Key
	return slices.Contains(known, first+".*") || len(path) == 1 && slices.Contains(known, first)
}

// hintDefaults doubts a default that covers only the last operand of a
// calculation, as in a + b ?? 0.
func (p *Program) hintDefaults(n ast.Node, r *resolver) {
	children(n, func(child *ast.Node) { p.hintDefaults(*child, r) })
	sum, ok := n.(*ast.BinaryNode)
	if !ok || arithmetic(sum.Operator) == nil {
		return
	}
	right, ok := sum.Right.(*ast.BinaryNode)
	if !ok || right.Operator != "??" || p.text.bracketed(r.spans[right]) {
		return
	}
	p.hint(r.spans[n], "?? gives a default to "+p.text.quote(r.spans[right.Left])+" alone, not to all of the calculation",
		"say so with parentheses, as in "+p.text.quote(r.spans[sum.Left])+" "+sum.Operator+" ("+p.text.quote(r.spans[right])+"); every operand that may be nil needs a default of its own")
}

// bracketed says whether a span stands in parentheses of its own.
func (t *text) bracketed(s span) bool {
	s = t.balanced(s)
	before := len(strings.TrimRight(t.src[:s.from], " \t\r\n")) - 1
	after := len(t.src) - len(strings.TrimLeft(t.src[s.to:], " \t\r\n"))
	if before < 0 || t.src[before] != '(' {
		return false
	}
	end, ok := t.pairs[before]
	return ok && end == after
}
