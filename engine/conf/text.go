package conf

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Text is a string and the place it was written at.
type Text struct {
	Value string
	Span  diag.Span

	// inside is where Value[0] stands when every character of Value stands in the file as it is, line by line; else zero.
	inside diag.Pos
	// indent is the column at which the later lines of a block scalar start.
	indent int
}

// Expr is the text of an expression. Its zero value means "not given".
type Expr struct{ Text }

// NamedExpr is one entry of an ordered mapping from names to expressions.
type NamedExpr struct {
	Name Text
	Expr Expr
}

// Pair is one entry of an ordered mapping from names to text.
type Pair struct {
	Key   Text
	Value Text
}

// Given says whether the file has the expression.
func (e Expr) Given() bool { return e.Value != "" }

// At is the place in the file of the characters from up to to of Value (counted in characters, not bytes).
// Where the file does not hold Value literally (escapes, folded lines, references) it is the whole span.
func (t Text) At(from, to int) diag.Span {
	if t.inside == (diag.Pos{}) || from < 0 {
		return t.Span
	}
	to = max(to, from+1)
	return diag.Span{File: t.Span.File, Start: t.pos(from), End: t.pos(to)}
}

func (t Text) pos(n int) diag.Pos {
	p := t.inside
	for _, r := range t.Value {
		if n == 0 {
			break
		}
		n--
		p.Col++
		if r == '\n' {
			p.Line++
			p.Col = t.indent
		}
	}
	return p
}

// text makes a Text of a scalar whose value, after references were replaced, is value.
func (s *Scope) text(n *yaml.Node, value string) Text {
	t := Text{Value: value, Span: s.Span(n)}
	if value != n.Value || n.Line == 0 {
		return t
	}
	start := diag.Pos{Line: n.Line, Col: n.Column}
	line, known := s.line(n.Line)
	if n.Style&yaml.LiteralStyle != 0 {
		if next, ok := s.line(n.Line + 1); ok && !strings.HasPrefix(value, " ") && !strings.HasPrefix(value, "\n") {
			t.indent = len(next) - len(strings.TrimLeft(next, " ")) + 1
			t.inside = diag.Pos{Line: n.Line + 1, Col: t.indent}
		}
		return t
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		start.Col++
	}
	switch {
	case strings.Contains(value, "\n"):
		return t
	case known && !strings.HasPrefix(from(line, start.Col), value):
		return t
	case !known && n.Style != 0 && strings.ContainsAny(value, `"'\`):
		return t
	}
	t.inside = start
	return t
}

// from is the part of line that starts at column col.
func from(line string, col int) string {
	for i := 1; i < col && line != ""; i++ {
		_, n := utf8.DecodeRuneInString(line)
		line = line[n:]
	}
	return line
}
