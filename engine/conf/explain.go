package conf

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/diag"
)

// explainer turns what the YAML parser says into words that a user can act on. Most syntax errors of
// a flow file are expressions without quotes, so it looks for those first.
type explainer struct {
	scope *Scope
	fault string   // the parser's message
	at    diag.Pos // where the parser stopped; explain moves it to where the mistake is
	end   diag.Pos // the end of the value at fault, if it is known
	line  string   // the line of at
}

// explainLimit is the length of a line, in bytes, beyond which no person wrote it and no mistake is searched in it.
const explainLimit = 4096

// toQuote is the advice to quote the value that stands at a place, and moves the error there.
func (e *explainer) toQuote(at diag.Pos, value string) string {
	e.at = at
	e.end = diag.Pos{Line: at.Line, Col: at.Col + utf8.RuneCountInString(value)}
	return "quote the expression: " + quote(value)
}

func (e *explainer) explain() (message, advice string) {
	if len(e.line) > explainLimit {
		return "YAML: " + e.fault, "break the line, or quote the expressions in it"
	}
	value, col := blockValue(e.line)
	is := func(prefix string) bool { return strings.HasPrefix(e.fault, prefix) }
	switch {
	case is("found character that cannot start any token"):
		return e.badStart()
	case is("did not find expected ',' or"):
		return e.flow()
	case is("unknown anchor"):
		return e.alias()
	case is("found unexpected end of stream"), is("found unexpected document indicator"):
		return "the quote is not closed", "close it; inside single quotes, write ' as ''"
	case is("found unknown escape character"), is("did not find expected hexdecimal"):
		return "a backslash in double quotes starts an escape that YAML does not know", `write it twice, or use single quotes around the value`
	case is("exceeded max depth"):
		return "the file is nested too deep", "nest less"
	}
	if value != "" && col <= e.at.Col {
		if reason := valueTrap(value); reason != "" {
			return reason, e.toQuote(diag.Pos{Line: e.at.Line, Col: col}, value)
		}
	}
	switch {
	case is("mapping values are not allowed") && value != "" && col <= e.at.Col:
		return `": " cannot stand in a value without quotes`, e.toQuote(diag.Pos{Line: e.at.Line, Col: col}, value)
	case is("mapping values are not allowed"), is("did not find expected key"):
		return "the line does not fit the lines above it", "check the indentation, and whether the value above is complete"
	case is("did not find expected '-' indicator"):
		return "the line does not continue the list above it", `start it with "- ", or align it with the key that it belongs to`
	case is("could not find expected ':'"):
		return `expected a key and ":"`, `write "key: value"`
	}
	return "YAML: " + e.fault, ""
}

// badStart explains a character that no value may start with.
func (e *explainer) badStart() (message, advice string) {
	c, _ := utf8.DecodeRuneInString(from(e.line, e.at.Col))
	if c == '\t' {
		return "a tab cannot indent a line", "indent with spaces"
	}
	message = fmt.Sprintf("a value cannot start with %q", c)
	if value, col := blockValue(e.line); col == e.at.Col {
		return message, e.toQuote(e.at, value)
	}
	if rest := from(e.line, e.at.Col); rest != "" {
		return message, e.toQuote(e.at, flowValue(rest))
	}
	return message, "quote the expression"
}

func (e *explainer) alias() (message, advice string) {
	name := strings.TrimSuffix(strings.TrimPrefix(e.fault, "unknown anchor '"), "' referenced")
	if i := strings.LastIndex(before(e.line, e.at.Col), "*"+name); i >= 0 {
		e.at.Col = utf8.RuneCountInString(e.line[:i]) + 1
	}
	value := flowValue(from(e.line, e.at.Col))
	if v, col := blockValue(e.line); col == e.at.Col {
		value = v
	}
	return fmt.Sprintf(`"*%s" is read as a YAML alias, and no anchor above has that name`, name), e.toQuote(e.at, value)
}

// flow explains an error inside { } or [ ]. The parser points at the collection or at one of its first
// entries, so the entries from there on are searched for a value that should be in quotes.
func (e *explainer) flow() (message, advice string) {
	const lines = 20
	col := e.at.Col
	for n := e.at.Line; n < e.at.Line+lines; n++ {
		line, ok := e.scope.line(n)
		if !ok || len(line) > explainLimit {
			break
		}
		for _, v := range flowValues(line) {
			end := v.col + utf8.RuneCountInString(v.text)
			if n == e.at.Line && end < col {
				continue
			}
			if reason := flowTrap(v.text); reason != "" {
				return reason, e.toQuote(diag.Pos{Line: n, Col: v.col}, v.text)
			}
		}
	}
	bracket := "]"
	if strings.HasSuffix(e.fault, "'}'") {
		bracket = "}"
	}
	return fmt.Sprintf("a comma or the closing %q is missing", bracket), "close the bracket, or quote the expression"
}

// valueTrap says what YAML makes of a value that starts or ends as no plain value can.
func valueTrap(v string) string {
	switch v[0] {
	case '!':
		return fmt.Sprintf("%q is read as a YAML tag", word(v))
	case '&':
		return fmt.Sprintf("%q is read as a YAML anchor", word(v))
	case '*':
		return fmt.Sprintf("%q is read as a YAML alias", word(v))
	case '>', '|':
		return fmt.Sprintf("%q is read as the start of a block of text", v[:1])
	case '?', '-':
		if strings.HasPrefix(v[1:], " ") {
			return fmt.Sprintf("%q cannot start a value", v[:2])
		}
	case '"', '\'':
		if q := quotedPart(v); len(q) < len(v) {
			return "the value ends at its closing quote, and more follows"
		}
	case '[', '{':
		if n := closing(v); n > 0 && n < len(v) {
			return "the value ends at its closing bracket, and more follows"
		}
	}
	return ""
}

// flowTrap is valueTrap for a value inside { } or [ ], where more characters have a meaning.
func flowTrap(v string) string {
	if reason := valueTrap(v); reason != "" {
		return reason
	}
	if strings.IndexByte(`"'[{`, v[0]) >= 0 {
		return ""
	}
	for _, s := range []string{"${", " #", " ? ", ": ", "[", "{"} {
		if strings.Contains(v, s) {
			return fmt.Sprintf("%q cannot stand inside { } or [ ] without quotes", strings.TrimSpace(s))
		}
	}
	return ""
}

func word(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}

func before(line string, col int) string {
	return strings.TrimSuffix(line, from(line, col+1))
}

// blockValue is the value that stands behind the first key of a line, or behind "- ", and its column.
func blockValue(line string) (value string, col int) {
	rest := strings.TrimLeft(line, " \t")
	for strings.HasPrefix(rest, "- ") {
		rest = strings.TrimLeft(rest[2:], " ")
	}
	if rest == "" {
		return "", 0
	}
	start := len(line) - len(rest)
	skip := 0
	if rest[0] == '"' || rest[0] == '\'' {
		skip = len(quotedPart(rest))
	}
	if i := strings.Index(rest[skip:], ": "); i >= 0 && strings.IndexByte("{[!&*", rest[0]) < 0 {
		after := rest[skip+i+2:]
		start = len(line) - len(strings.TrimLeft(after, " "))
	}
	value = strings.TrimRight(line[start:], " \t")
	return value, utf8.RuneCountInString(line[:start]) + 1
}

// placed is a piece of a line and its column.
type placed struct {
	text string
	col  int
}

// flowValues are the values of the entries of flow collections on a line.
func flowValues(line string) []placed {
	var out []placed
	for i := 0; i < len(line); {
		start := i
		if i == 0 {
			if v, col := blockValue(line); v != "" {
				start = len(line) - len(from(line, col))
			}
		}
		i = start
		// An entry may open further collections before its own value: {a: {b: 1.
		for i < len(line) && strings.IndexByte(" {[,", line[i]) >= 0 {
			i++
		}
		entry := line[i:]
		text := flowValue(entry)
		if text == "" {
			i++
			continue
		}
		if key, v, ok := strings.Cut(text, ": "); ok && isKey(key) {
			v = strings.TrimLeft(v, " ")
			if v != "" && (v[0] == '{' || v[0] == '[') {
				i += strings.Index(entry, ": ") + 2
				continue
			}
			if v != "" {
				at := i + len(text) - len(v)
				out = append(out, placed{v, utf8.RuneCountInString(line[:at]) + 1})
			}
		} else {
			out = append(out, placed{text, utf8.RuneCountInString(line[:i]) + 1})
		}
		i += len(text)
		for i < len(line) && strings.IndexByte(" }]", line[i]) >= 0 {
			i++
		}
	}
	return out
}

func isKey(s string) bool {
	return s != "" && !strings.ContainsAny(s, ` {}[]()?"'`)
}

// flowValue is the part of s up to the comma or bracket that ends an entry of a flow collection.
func flowValue(s string) string {
	var n nesting
	for i := range len(s) {
		if n.depth <= 0 && n.quote == 0 && strings.IndexByte(",}]", s[i]) >= 0 {
			return strings.TrimRight(s[:i], " ")
		}
		n.step(s[i])
	}
	return strings.TrimRight(s, " ")
}
