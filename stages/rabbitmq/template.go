package rabbitmq

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// template is a text with expressions in it: "sensor.{{ line_id }}".
type template struct {
	name  string // the key that it is the value of
	parts []part
	fixed string // when there are no expressions
}

// part is a piece of text, or an expression.
type part struct {
	text    string
	program *expr.Program
}

const (
	opening = "{{"
	closing = "}}"
)

// parseTemplate checks a template and compiles its expressions. Problems go
// to the builder.
func parseTemplate(b *stage.Builder, name string, t conf.Text) template {
	out := template{name: name}
	rest, at := t.Value, 0
	for {
		i := strings.Index(rest, opening)
		if i < 0 {
			out.add(rest)
			break
		}
		n := expressionEnd(rest[i+len(opening):])
		if n < 0 {
			from := at + utf8.RuneCountInString(rest[:i])
			b.Diags.Add(diag.Diagnostic{Span: t.At(from, from+len(opening)), Message: b.Name + ": " + name + `: "{{" without "}}"`, Advice: `write "text {{ expression }} text"`})
			return out
		}
		out.add(rest[:i])
		source := rest[i+len(opening):][:n]
		from := at + utf8.RuneCountInString(rest[:i+len(opening)])
		out.compile(b, name, source, t.At(from, from+utf8.RuneCountInString(source)))
		end := i + len(opening) + n + len(closing)
		at += utf8.RuneCountInString(rest[:end])
		rest = rest[end:]
	}
	if len(out.parts) == 1 && out.parts[0].program == nil {
		out.fixed, out.parts = out.parts[0].text, nil
	}
	return out
}

// expressionEnd is where the "}}" behind an expression begins, -1 when there
// is none. Texts and maps in the expression may hold braces themselves.
func expressionEnd(s string) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case strings.HasPrefix(s[i:], closing):
			return i
		}
	}
	return -1
}

func (t *template) add(text string) {
	if text != "" {
		t.parts = append(t.parts, part{text: text})
	}
}

func (t *template) compile(b *stage.Builder, name, source string, span diag.Span) {
	if strings.TrimSpace(source) == "" {
		b.Errorf(span, "%s: %s: {{ }} holds no expression", b.Name, name)
		return
	}
	if p := b.Expr(conf.Expr{Text: conf.Text{Value: source, Span: span}}); p != nil {
		t.parts = append(t.parts, part{program: p})
	}
}

// empty says that nothing was given.
func (t *template) empty() bool { return t.fixed == "" && len(t.parts) == 0 }

// single is the expression of a template that consists of one alone, of which
// the value keeps its type.
func (t *template) single() *expr.Program {
	if len(t.parts) == 1 {
		return t.parts[0].program
	}
	return nil
}

var errNil = errors.New("is nil")

// text is the template's text for a record. An error is the record's fault.
// The text has memory of its own.
func (t *template) text(s *expr.Scope) (string, error) {
	if len(t.parts) == 0 {
		return t.fixed, nil
	}
	var buf [64]byte
	out := buf[:0]
	for _, p := range t.parts {
		if p.program == nil {
			out = append(out, p.text...)
			continue
		}
		v, err := p.program.Eval(s)
		if err == nil && v.IsNil() {
			err = fmt.Errorf("%s %w", strings.TrimSpace(p.program.String()), errNil)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", t.name, err)
		}
		out = v.AppendText(out)
	}
	return string(out), nil
}

// short is text for a property of AMQP that is at most 255 bytes long.
func (t *template) short(s *expr.Scope) (string, error) {
	out, err := t.text(s)
	if len(out) > maxShort {
		return "", fmt.Errorf("%s has %d bytes, more than 255", t.name, len(out))
	}
	return out, err
}

// value is the template's value with its type, for headers.
func (t *template) value(s *expr.Scope) (any, error) {
	p := t.single()
	if p == nil {
		return t.text(s)
	}
	v, err := p.Eval(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return toAMQP(v), nil
}

// optional is short text, "" where the expression has no value.
func (t *template) optional(s *expr.Scope) (string, error) {
	out, err := t.short(s)
	if errors.Is(err, errNil) {
		return "", nil
	}
	return out, err
}

// eval is the template's value with its type. ok is false when nothing was
// given, or the value is nil.
func (t *template) eval(s *expr.Scope) (v record.Value, ok bool, err error) {
	switch p := t.single(); {
	case t.empty():
		return record.Value{}, false, nil
	case p != nil:
		if v, err = p.Eval(s); err != nil {
			return v, false, fmt.Errorf("%s: %w", t.name, err)
		}
		return v, !v.IsNil(), nil
	}
	text, err := t.optional(s)
	return record.StringValue(text), text != "", err
}
