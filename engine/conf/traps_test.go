package conf_test

import (
	"slices"
	"strings"
	"testing"
)

func TestTrapsOfExpressionsSayQuoteTheExpression(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		want      []string
	}{
		{"tag", "where: !enabled", []string{`1:8: where: "!enabled" is read as a YAML tag, and the value is empty; quote the expression: "!enabled"`}},
		{"tag before a value", "where: !enabled x", []string{`1:8: where: "!enabled" is read as a YAML tag, and only "x" is left; quote the expression: "!enabled x"`}},
		{"tag with operator", "where: !enabled && x", []string{`1:8: "!enabled" is read as a YAML tag; quote the expression: "!enabled && x"`}},
		{"comma in a call", "set: {m: max(a, b)}", []string{`1:10: set: m: "max(a, b)" is split at its comma; quote the expression: "max(a, b)"`}},
		{"commas in two calls", "set: {m: max(a, b), n: max(a, b)}", []string{
			`1:10: set: m: "max(a, b)" is split at its comma; quote the expression: "max(a, b)"`,
			`1:24: set: n: "max(a, b)" is split at its comma; quote the expression: "max(a, b)"`}},
		{"commas in nested calls", "set: {m: 'ok', n: f(g(a, b), c)}", []string{`1:19: set: n: "f(g(a, b), c)" is split at its comma; quote the expression: "f(g(a, b), c)"`}},
		{"comma in a list", "by: [f(a, b)]", []string{`1:6: by: "f(a, b)" is split at its comma; quote the expression: "f(a, b)"`}},
		{"comment in a call", "where: f(a #b)", []string{`1:8: batch: where: " #" starts a comment, so that only "f(a" is left; quote the expression: "f(a #b)"`}},
		{"comment in quotes", `where: a == "x #b"`, []string{`1:8: batch: where: " #" starts a comment, so that only "a == \"x" is left; quote the expression: 'a == "x #b"'`}},
		{"comment behind an operator", "where: a > #b", []string{`1:8: batch: where: " #" starts a comment, so that only "a >" is left; quote the expression: "a > #b"`}},
		{"comment behind a word operator", "where: a and #b", []string{`1:8: batch: where: " #" starts a comment, so that only "a and" is left; quote the expression: "a and #b"`}},
		{"all a comment", "where: #b", []string{`1:1: batch: where: the expression is empty, since "#" starts a comment; quote the expression`}},
		{"a real comment", "where: a > b # c", nil},
		{"ternary", "where: a ? b : c", []string{`1:8: ": " cannot stand in a value without quotes; quote the expression: "a ? b : c"`}},
		{"ternary in a mapping", "size: 1\nset: {m: a ? b : c}", []string{`2:10: "?" cannot stand inside { } or [ ] without quotes; quote the expression: "a ? b : c"`}},
		{"index in a mapping", "set: {m: xs[0]}", []string{`1:10: "[" cannot stand inside { } or [ ] without quotes; quote the expression: "xs[0]"`}},
		{"reference in a mapping", "set: {m: ${x}}", []string{`1:10: "${" cannot stand inside { } or [ ] without quotes; quote the expression: "${x}"`}},
		{"at", "where: @x", []string{`1:8: a value cannot start with '@'; quote the expression: "@x"`}},
		{"backquote", "where: `x`", []string{"1:8: a value cannot start with '`'; quote the expression: \"`x`\""}},
		{"percent", "where: %x", []string{`1:8: a value cannot start with '%'; quote the expression: "%x"`}},
		{"text and more", `where: "a" == b`, []string{`1:8: the value ends at its closing quote, and more follows; quote the expression: '"a" == b'`}},
		{"list and more", `where: [a] == b`, []string{`1:8: the value ends at its closing bracket, and more follows; quote the expression: "[a] == b"`}},
		{"unknown alias", "where: *x", []string{`1:8: "*x" is read as a YAML alias, and no anchor above has that name; quote the expression: "*x"`}},
		{"alias and more", "path: &x p\nwhere: *x > 3", []string{`2:8: "*x" is read as a YAML alias; quote the expression: "*x > 3"`}},
		{"anchor", "where: &x y", []string{`1:8: batch: where: "&x" is read as a YAML anchor and cut off; quote the expression: "&x y"`}},
		{"greater", "where: > 3", []string{`1:8: ">" is read as the start of a block of text; quote the expression: "> 3"`}},
		{"list", "where: [a, b]", []string{`1:8: batch: where: expected an expression, got a list; quote the expression: "[a, b]"`}},
		{"mapping", "where: {a: b}", []string{`1:8: batch: where: expected an expression, got a mapping; quote the expression: "{a: b}"`}},
		{"yes", "where: yes", []string{`1:8: batch: where: "yes" is no expression; write true, or quote the expression if it is a field: "yes"`}},
		{"off", "where: Off", []string{`1:8: batch: where: "Off" is no expression; write false, or quote the expression if it is a field: "Off"`}},
		{"empty", "where: ''", []string{`1:8: batch: where: the expression is empty; write an expression in quotes, such as "reading > 0"`}},
		{"nothing", "where:", []string{`1:1: batch: where: the expression is empty; write an expression in quotes, such as "reading > 0"`}},
		{"variable", `where: "a > ${LIMIT:-3}"`, []string{`1:8: batch: where: ${LIMIT:-3} cannot stand in an expression; declare a param, params: {limit: "${LIMIT:-3}"}, and name params.limit here`}},
		{"param", `where: "a > ${params.limit}"`, []string{`1:8: batch: where: ${params.limit} cannot stand in an expression; name the param itself: params.limit`}},
		{"tab", "size: 1\nemit:\n\tevery: 1s", []string{`3:1: a tab cannot indent a line; indent with spaces`}},

		{"true is an expression", "where: true", nil},
		{"a number is an expression", "where: 1", nil},
		{"a block is an expression", "where: |\n  a ? b : c # d\n", nil},
		{"quotes are fine", `set: {m: "max(a, b)", n: '!x', o: "a ? b : c", p: "f(#)"}`, nil},
		{"a literal brace is fine", `where: "a == '$${x}'"`, nil},
		{"quoted yes is a field", `where: "yes"`, nil},
		{"an alias of a quoted expression", "where: &x \"a > 1\"\nset: {b: *x}", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, diags, _ := load(t, tt.src, nil, nil)
			if got := texts(diags); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestLiteralBracesAreKeptInExpressions(t *testing.T) {
	c, _, _ := load(t, `where: "a == '$${x}'"`, nil, nil)
	if c.Where.Value != "a == '${x}'" {
		t.Errorf("got %q", c.Where.Value)
	}
}
