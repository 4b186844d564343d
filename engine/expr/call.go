package expr

import (
	"strings"

	"github.com/expr-lang/expr/parser/lexer"
)

// Arg is one argument of a call: its text and the byte offset of the text in
// the source.
type Arg struct {
	Text   string
	Offset int
}

// ParseCall splits a source that is one call, such as quantile(celsius, 0.99),
// into the function's name and its arguments. The name is not looked up and
// the arguments are not compiled. An error is an [*Error].
func ParseCall(source string) (name string, args []Arg, err error) {
	t, bad := scan(source)
	if bad != nil {
		return "", nil, bad
	}
	const advice = "write a function and its arguments, as in mean(celsius)"
	first, second := t.token(0), t.token(1)
	if first.Kind != lexer.Identifier || !second.Is(lexer.Bracket, "(") {
		return "", nil, t.problem(t.whole(), `"`+t.quote(t.whole())+`" is not one call`, advice)
	}
	open := t.at(second.From)
	end := t.pairs[open]
	if last := t.token(len(t.tokens) - 2); t.at(last.From) != end {
		for _, tok := range t.tokens {
			if t.at(tok.From) > end {
				return "", nil, t.problem(span{t.at(tok.From), t.whole().to}, "nothing may follow the call", advice)
			}
		}
	}
	from, depth := open+1, 0
	add := func(to int) *Error {
		text := source[from:to]
		left := len(text) - len(strings.TrimLeft(text, " \t\r\n"))
		arg := Arg{Text: strings.TrimSpace(text), Offset: from + left}
		if arg.Text == "" {
			return &Error{Offset: from, Len: to - from, Message: "an argument is missing"}
		}
		args = append(args, arg)
		from = to + 1
		return nil
	}
	for _, tok := range t.tokens[2 : len(t.tokens)-2] {
		switch {
		case tok.Kind == lexer.Bracket && strings.Contains("([{", tok.Value):
			depth++
		case tok.Kind == lexer.Bracket:
			depth--
		case tok.Is(lexer.Operator, ",") && depth == 0:
			if bad := add(t.at(tok.From)); bad != nil {
				return "", nil, bad
			}
		}
	}
	if len(args) > 0 || strings.TrimSpace(source[from:end]) != "" {
		if bad := add(end); bad != nil {
			return "", nil, bad
		}
	}
	return first.Value, args, nil
}
