package conf

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Expr declares an expression. Its text is taken as it is; the traps that YAML sets for expressions are errors.
// The caller parses the text and places what it finds with Text.At.
func (f *Fields) Expr(p *Expr, name, doc string) *Value {
	*p = Expr{}
	v := &Value{field: f.declare(&FieldDoc{Name: name, Type: TypeExpr, Doc: doc}), empty: func() bool { return !p.Given() }}
	if e := v.field.entry; e != nil {
		context := join(f.context, name)
		if e.short {
			context = f.context
		}
		*p, _ = v.field.expr(context, e.key, e.value)
	}
	return v
}

// Exprs declares an ordered mapping from names to expressions.
func (f *Fields) Exprs(p *[]NamedExpr, name, doc string) *Value {
	*p = nil
	v := &Value{field: f.declare(&FieldDoc{Name: name, Type: TypeExpr, Kind: KindMap, Doc: doc}), empty: func() bool { return len(*p) == 0 }}
	v.field.pairs("a mapping of names to expressions", func(key Text, e *entry) {
		if x, ok := v.field.expr(join(f.context, name+": "+key.Value), e.key, e.value); ok {
			*p = append(*p, NamedExpr{Name: key, Expr: x})
		}
	})
	return v
}

// expr takes one value as an expression; context is the way to it.
func (fd *field) expr(context string, key, n *yaml.Node) (Expr, bool) {
	s := fd.fields.scope
	span := fd.fields.valueSpan(&entry{key: key, value: n})
	fail := func(message, advice string) (Expr, bool) {
		fd.bad = true
		fd.fields.fail(span, context, message, advice)
		return Expr{}, false
	}
	switch {
	case n.Kind != yaml.ScalarNode:
		return fail("expected an expression, got "+kindOf(n), "quote the expression: "+s.quotedSource(n))
	case isNull(n) && n.Value == "" && (n.LineComment != "" || key.LineComment != ""):
		return fail(`the expression is empty, since "#" starts a comment`, "quote the expression")
	case isNull(n) && n.Value == "" || strings.TrimSpace(n.Value) == "":
		return fail("the expression is empty", "write an expression in quotes, such as \"reading > 0\"")
	}
	if n.Style&^yaml.TaggedStyle == 0 {
		if message, advice := s.plainTrap(n); message != "" {
			return fail(message, advice)
		}
	}
	if message, advice := reference(n.Value); message != "" {
		return fail(message, advice)
	}
	return Expr{s.text(n, strings.ReplaceAll(n.Value, "$${", "${"))}, true
}

// plainTrap finds what YAML does to expressions without quotes.
func (s *Scope) plainTrap(n *yaml.Node) (message, advice string) {
	if n.Anchor != "" {
		return fmt.Sprintf(`"&%s" is read as a YAML anchor and cut off`, n.Anchor), "quote the expression: " + quote("&"+n.Anchor+" "+n.Value)
	}
	switch strings.ToLower(n.Value) {
	case "yes", "on":
		return fmt.Sprintf("%q is no expression", n.Value), `write true, or quote the expression if it is a field: ` + quote(n.Value)
	case "no", "off":
		return fmt.Sprintf("%q is no expression", n.Value), `write false, or quote the expression if it is a field: ` + quote(n.Value)
	}
	if comment := s.comment(n); comment != "" && (!balanced(n.Value) || endsOpen(n.Value)) {
		return fmt.Sprintf(`" #" starts a comment, so that only %q is left`, n.Value), "quote the expression: " + quote(n.Value+" "+comment)
	}
	return "", ""
}

// comment is the comment behind a plain scalar.
func (s *Scope) comment(n *yaml.Node) string {
	if line, ok := s.line(n.Line); ok {
		if rest, ok := strings.CutPrefix(from(line, n.Column), n.Value); ok {
			if c := strings.TrimSpace(rest); strings.HasPrefix(c, "#") {
				return c
			}
			return ""
		}
	}
	first, _, _ := strings.Cut(n.LineComment, "\n")
	return first
}

// reference refuses ${…} in an expression: its text would become code.
func reference(value string) (message, advice string) {
	for rest := value; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			return "", ""
		}
		if i > 0 && rest[i-1] == '$' {
			rest = rest[i+2:]
			continue
		}
		ref, _, _ := strings.Cut(rest[i+2:], "}")
		shown := "${" + ref + "}"
		if strings.HasPrefix(ref, "params.") {
			return shown + " cannot stand in an expression", "name the param itself: " + ref
		}
		name, _, _ := strings.Cut(ref, ":-")
		if !isName(name) {
			return shown + " cannot stand in an expression", `"$${" is a literal "${"`
		}
		param := strings.ToLower(name)
		return shown + " cannot stand in an expression", fmt.Sprintf(`declare a param, params: {%s: "%s"}, and name params.%s here`, param, shown, param)
	}
}

// quotedSource is what the file has in place of n, in quotes, when n stands on one line; else an example.
func (s *Scope) quotedSource(n *yaml.Node) string {
	line, ok := s.line(n.Line)
	if !ok || n.Style&yaml.FlowStyle == 0 {
		return `"…"`
	}
	rest := from(line, n.Column)
	if end := closing(rest); end > 0 {
		return quote(rest[:end])
	}
	return `"…"`
}

// quote writes s as a YAML value in quotes, of the kind that needs no escapes if there is one.
func quote(s string) string {
	if strings.ContainsAny(s, `"\`) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return `"` + s + `"`
}

// balanced says whether every bracket and every quote of an expression is closed.
func balanced(s string) bool {
	depth, open := scan(s)
	return depth == 0 && !open
}

// scan counts the brackets that are open at the end of s, and says whether a quote is.
func scan(s string) (depth int, quoted bool) {
	var n nesting
	for i := range len(s) {
		n.step(s[i])
	}
	return n.depth, n.quote != 0
}

// nesting follows an expression byte by byte.
type nesting struct {
	depth   int
	quote   byte // the quote that is open, or 0
	escaped bool
}

func (n *nesting) step(c byte) {
	switch {
	case n.escaped:
		n.escaped = false
	case n.quote != 0 && c == '\\' && n.quote != '`':
		n.escaped = true
	case n.quote != 0:
		if c == n.quote {
			n.quote = 0
		}
	case c == '"' || c == '\'' || c == '`':
		n.quote = c
	case strings.IndexByte("([{", c) >= 0:
		n.depth++
	case strings.IndexByte(")]}", c) >= 0:
		n.depth--
	}
}

// closing is the length of the bracketed text that s starts with, or 0 when it is not closed.
func closing(s string) int {
	var n nesting
	for i := range len(s) {
		n.step(s[i])
		if n.depth == 0 && n.quote == 0 && strings.IndexByte(")]}", s[i]) >= 0 {
			return i + 1
		}
	}
	return 0
}

// endsOpen says that something must follow: the expression ends with an operator.
func endsOpen(s string) bool {
	s = strings.TrimSpace(s)
	if s == "" {
		return true
	}
	if strings.IndexByte("+-*/%<>=!&|?:,.^(", s[len(s)-1]) >= 0 {
		return true
	}
	for _, word := range []string{"and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith"} {
		if s == word || strings.HasSuffix(s, " "+word) {
			return true
		}
	}
	return false
}
