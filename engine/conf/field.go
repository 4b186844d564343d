package conf

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/diag"
)

// field is one declared key of an object.
type field struct {
	fields *Fields
	doc    *FieldDoc
	entry  *entry // nil when the file does not give it
	bad    bool   // its value was reported and not taken
}

func (fd *field) given() bool { return fd.entry != nil }

func (fd *field) span() diag.Span {
	if fd.entry == nil {
		return fd.fields.span
	}
	return fd.fields.valueSpan(fd.entry)
}

// fail reports "<context>: <field>: <message>".
func (fd *field) fail(span diag.Span, message, advice string) {
	fd.bad = true
	fd.fields.fail(span, join(fd.fields.context, fd.doc.Name), message, advice)
}

// failName reports "<context>: <field> <message>", for messages whose subject is the field.
func (fd *field) failName(span diag.Span, message, advice string) {
	fd.bad = true
	fd.fields.fail(span, fd.fields.context, fd.doc.Name+" "+message, advice)
}

func (fd *field) required() {
	fd.doc.Required = true
	if fd.entry != nil || fd.fields.badKind {
		return
	}
	if fd.doc.Name == "" {
		fd.fields.fail(fd.fields.span, fd.fields.context, "expected a value, got nothing", firstSentence(fd.doc.Doc))
	} else {
		fd.bad = true
		fd.fields.lack(missing{[]string{fd.doc.Name}, fd.doc.Name + " is missing", fmt.Sprintf("add %q: %s", fd.doc.Name+":", firstSentence(fd.doc.Doc))})
	}
}

// scalar is one value with its references replaced.
type scalar struct {
	node  *yaml.Node
	value string
	span  diag.Span
	Expanded
}

// shown is the value as a message may show it. What came from the environment or is secret is not shown, but where it came from.
func (s scalar) shown(doc *FieldDoc) string {
	switch {
	case s.Env:
		return "the value of " + s.node.Value
	case doc.Secret:
		return "another value"
	case s.Refs:
		return fmt.Sprintf("%q (from %s)", s.value, s.node.Value)
	}
	return kindOf(s.node)
}

// plain says that the value may be read as something else than text: it was not quoted, or a reference stands for it.
func (s scalar) plain() bool {
	return s.Refs || s.node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 && s.node.Tag != "!!str" ||
		s.node.Style == 0
}

// scalar is the field's single value; ok is false when it is not given, or was wrong and reported.
// Want is what a message says was expected: "a whole number".
func (fd *field) scalar(want string) (v scalar, ok bool) {
	if fd.entry == nil {
		return v, false
	}
	return fd.scalarOf(fd.entry.value, fd.span(), want)
}

func (fd *field) scalarOf(n *yaml.Node, span diag.Span, want string) (v scalar, ok bool) {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		advice := ""
		if isNull(n) {
			advice = "give it a value, or remove the key"
		}
		fd.fail(span, fmt.Sprintf("expected %s, got %s", want, kindOf(n)), advice)
		return v, false
	}
	out, ok := fd.fields.scope.Expand(n.Value, span, join(fd.fields.context, fd.doc.Name))
	if !ok {
		fd.bad = true
		fd.fields.mark()
		return v, false
	}
	return scalar{node: n, value: out.Value, span: span, Expanded: out}, true
}

func (fd *field) expected(v scalar, want, advice string) {
	fd.fail(v.span, fmt.Sprintf("expected %s, got %s", want, v.shown(fd.doc)), advice)
}

func firstSentence(s string) string {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '.' && s[i+1] == ' ' {
			return s[:i]
		}
	}
	if n := len(s); n > 0 && s[n-1] == '.' {
		return s[:n-1]
	}
	return s
}
