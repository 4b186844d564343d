package expr

import (
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/expr-lang/expr/parser/utils"
	"github.com/expr-lang/expr/types"
	"github.com/telluride-stream/telluride/engine/diag"
)

const (
	maxSource = 16 << 10 // bytes
	maxNodes  = 8192
)

// parse reads a source into a tree. Typical mistakes are looked for in the
// tokens first, where they can be named for what they are.
func parse(source string) (*text, ast.Node, *Error) {
	t, bad := scan(source)
	if bad != nil {
		return t, nil, bad
	}
	if bad := t.mistake(); bad != nil {
		return t, nil, bad
	}
	config := conf.CreateNew()
	config.WithEnv(types.Map{})
	config.MaxNodes = maxNodes
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return t, nil, t.syntax(err)
	}
	if size(tree.Node, maxNodes+1) > maxNodes {
		return t, nil, t.problem(t.whole(), "the expression is too large", "split it over several fields")
	}
	return t, tree.Node, nil
}

// scan splits a source into tokens and pairs its brackets.
func scan(source string) (*text, *Error) {
	t := newText(source)
	if len(source) > maxSource {
		return t, &Error{Len: len(source), Message: "the expression is longer than 16 KiB", Advice: "split it over several fields"}
	}
	l := lexer.New()
	l.Reset(file.NewSource(source))
	for {
		tok, err := l.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t, t.syntax(err)
		}
		t.tokens = append(t.tokens, tok)
	}
	if len(t.tokens) == 1 {
		return t, &Error{Message: "the expression is empty"}
	}
	var open []lexer.Token
	for _, tok := range t.tokens {
		if tok.Kind != lexer.Bracket {
			continue
		}
		if strings.Contains("([{", tok.Value) {
			open = append(open, tok)
			continue
		}
		if len(open) == 0 || strings.Index(")]}", tok.Value) != strings.Index("([{", open[len(open)-1].Value) {
			return t, t.problem(t.span(tok.Location), `"`+tok.Value+`" closes nothing`, "")
		}
		a, b := t.at(open[len(open)-1].From), t.at(tok.From)
		t.pairs[a], t.pairs[b] = b, a
		open = open[:len(open)-1]
	}
	if len(open) > 0 {
		last := open[len(open)-1]
		return t, t.problem(t.span(last.Location), `"`+last.Value+`" is never closed`, "")
	}
	return t, nil
}

// mistake finds what people write who know another language better.
func (t *text) mistake() *Error {
	let := false // between let and its =
	for i, tok := range t.tokens {
		s := t.span(tok.Location)
		before, after := t.token(i-1), t.token(i+1)
		switch {
		case tok.Is(lexer.Operator, "let"):
			let = true
		case tok.Is(lexer.Operator, "=") && let:
			let = false
		case tok.Is(lexer.Operator, "="):
			switch {
			case before.Is(lexer.Operator, "==", "!=") && before.To == tok.From:
				return t.problem(span{t.at(before.From), s.to}, `"`+before.Value+`=" is not an operator`, `write `+before.Value)
			case after.Is(lexer.Operator, ">") && after.From == tok.To:
				return t.problem(span{s.from, t.at(after.To)}, `"=>" is not an operator`, `"at least" is >=`)
			}
			return t.problem(s, `"=" does not compare`, `write == to compare`)
		case tok.Is(lexer.Operator, "&"):
			return t.problem(s, `"&" is not an operator`, `write && or and`)
		case tok.Is(lexer.Operator, "|") && !(after.Kind == lexer.Identifier && t.token(i+2).Is(lexer.Bracket, "(")):
			return t.problem(s, `"|" needs a function behind it`, `write || or or, or a function as in name | lower()`)
		case tok.Is(lexer.Operator, "<") && after.Is(lexer.Operator, ">") && after.From == tok.To:
			return t.problem(span{s.from, t.at(after.To)}, `"<>" is not an operator`, `write !=`)
		case tok.Kind == lexer.Identifier && !before.Is(lexer.Operator, ".", "?.") && !t.isKey(i):
			if bad := t.word(i, tok, s); bad != nil {
				return bad
			}
		}
	}
	return nil
}

// word finds mistaken words and unknown functions.
func (t *text) word(i int, tok lexer.Token, s span) *Error {
	before, after := t.token(i-1), t.token(i+1)
	name := `"` + tok.Value + `"`
	switch tok.Value {
	case "NULL", "None", "null", "Null", "NIL", "Nil":
		return t.problem(s, name+" is not a value", "write nil")
	case "TRUE", "True", "FALSE", "False":
		return t.problem(s, name+" is not a value", "write "+strings.ToLower(tok.Value))
	case "AND", "OR", "IN", "And", "Or", "MATCHES", "CONTAINS":
		if ends(before) {
			return t.problem(s, name+" is not an operator", "write "+strings.ToLower(tok.Value))
		}
	case "NOT", "Not":
		if !ends(before) && (after.Kind == lexer.Identifier || after.Is(lexer.Bracket, "(")) || t.token(i+1).Is(lexer.Operator, "in") {
			return t.problem(s, name+" is not an operator", "write not or !")
		}
	case "is", "IS", "eq":
		if ends(before) && !after.Is(lexer.EOF) {
			return t.problem(s, name+" is not an operator", "write == or !=")
		}
	case "like", "LIKE":
		if ends(before) {
			return t.problem(s, name+" is not an operator", "write contains, startsWith, endsWith or matches")
		}
	}
	if _, known := builtin.Index[tok.Value]; !known && after.Is(lexer.Bracket, "(") && !ends(before) {
		switch tok.Value {
		case "true", "false", "nil":
			return nil
		}
		advice := ""
		if near := diag.Suggest(tok.Value, builtin.Names); near != "" {
			advice = `did you mean "` + near + `"?`
		}
		return t.problem(s, `unknown function `+name, advice)
	}
	return nil
}

// isKey says whether a word is a key in an object that is written out.
func (t *text) isKey(i int) bool {
	before := t.token(i - 1)
	return t.token(i+1).Is(lexer.Operator, ":") && (before.Is(lexer.Bracket, "{") || before.Is(lexer.Operator, ","))
}

// ends says whether an operand can end with the token.
func ends(tok lexer.Token) bool {
	switch tok.Kind {
	case lexer.Identifier, lexer.Number, lexer.String, lexer.Bytes:
		return true
	case lexer.Bracket:
		return strings.Contains(")]}", tok.Value)
	}
	return false
}

func (t *text) token(i int) lexer.Token {
	if i < 0 || i >= len(t.tokens) {
		return lexer.Token{}
	}
	return t.tokens[i]
}

// syntax rewrites an error of the lexer or the parser.
func (t *text) syntax(err error) *Error {
	var e *file.Error
	if !errors.As(err, &e) {
		return t.problem(t.whole(), err.Error(), "")
	}
	s := t.span(e.Location)
	message, advice := plainSyntax(e.Message)
	switch {
	case message == tooLarge: // expr-lang points behind it
		for _, tok := range t.tokens {
			if tok.Kind == lexer.Number && tok.From <= e.From {
				s = t.span(tok.Location)
			}
		}
	case e.Message == "literal not terminated":
		s = t.rest()
	case badNumber.MatchString(e.Message):
		s = t.rest()
		end := strings.IndexFunc(t.src[s.from:], func(r rune) bool { return r != '.' && !utils.IsAlphaNumeric(r) })
		if end >= 0 {
			s.to = s.from + end
		}
		word := t.src[s.from:s.to]
		message, advice = `"`+word+`" is not a number`, `a field of this name is $env["`+word+`"]`
	}
	return &Error{Offset: s.from, Len: s.to - s.from, Message: message, Advice: advice}
}

const tooLarge = "the number is too large"

// rest is the source from where the lexer failed.
func (t *text) rest() span {
	from := 0
	if len(t.tokens) > 0 {
		from = t.at(t.tokens[len(t.tokens)-1].To)
	}
	left := strings.TrimLeft(t.src[from:], " \t\r\n")
	return span{len(t.src) - len(left), len(t.src)}
}

var (
	unexpected = regexp.MustCompile(`^unexpected token \w+\("(.*)"\)$`)
	strange    = regexp.MustCompile(`^unrecognized character: U\+[0-9A-F]+ '(.+)'$`)
	badNumber  = regexp.MustCompile(`^bad number syntax: `)
	mixed      = regexp.MustCompile(`^Operator \((.*)\) and coalesce`)
)

func plainSyntax(m string) (message, advice string) {
	if strings.HasSuffix(m, "unexpected token EOF") || m == "unexpected end of expression" {
		return "the expression ends too early", ""
	}
	if p := unexpected.FindStringSubmatch(m); p != nil {
		return `"` + strings.ReplaceAll(p[1], `\"`, `"`) + `" is not expected here`, ""
	}
	if p := strange.FindStringSubmatch(m); p != nil {
		switch p[1] {
		case "“", "”", "„", "‘", "’":
			return `the quote ` + p[1] + ` is not a quote of the language`, `write " or '`
		case "~":
			return `"~" is not an operator`, "a pattern is tested with matches"
		case `\\`:
			return `"\" is not expected here`, ""
		}
		return `the character ` + p[1] + ` is not expected here`, ""
	}
	if p := mixed.FindStringSubmatch(m); p != nil {
		return `?? and ` + p[1] + ` need parentheses around one of them`, `as in (reading ?? 0) ` + p[1] + ` …`
	}
	switch {
	case m == "literal not terminated":
		return "the text is never closed", "its closing quote is missing"
	case strings.HasPrefix(m, "invalid char escape"), strings.Contains(m, "unescape"):
		return `unknown escape in a text`, "double the backslash, or put the text between `backquotes`"
	case strings.Contains(m, "exceeds maximum allowed nodes"):
		return "the expression is too large", "split it over several fields"
	case strings.Contains(m, "value out of range"), strings.HasSuffix(m, "literal is too large"):
		return tooLarge, ""
	case strings.HasPrefix(m, "expected at least"):
		return "the function needs more arguments", ""
	case m == "unclosed comment":
		return "the comment is never closed", "it ends with */"
	case m == "expected name":
		return "a name must follow the dot", `odd names are written ["odd name"]`
	}
	return m, ""
}
