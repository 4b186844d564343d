package conf

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Fields binds the keys of one mapping to variables. Each method that declares a field sets the variable at
// once, to its default or to what the file says, and reports what is wrong; the variable then holds the default.
// So a bind method may look at what it has decoded so far.
type Fields struct {
	scope   *Scope
	mode    mode
	context string
	span    diag.Span
	parent  *Fields
	node    *yaml.Node
	entries []*entry
	doc     *Doc

	names    []string
	missing  []missing
	checks   []func() (message, advice string)
	badKind  bool // node is not a mapping, and nothing took it as a whole
	failed   bool
	finished bool
}

type mode uint8

const (
	decoding   mode = iota
	defaulting      // nothing is written in the file: variables get their defaults and nothing is reported
	describing
)

// missing is a required key, or one of several, that the file does not give.
type missing struct {
	keys            []string
	message, advice string
}

type entry struct {
	name       string
	key, value *yaml.Node
	known      bool
	short      bool // it stands for the whole object
}

// NewFields starts to decode node, which should be a mapping or empty; nil means that the file does not have it, and
// everything gets its default. The context, such as "window", stands in front of every message.
// The caller binds its fields and then calls Finish.
func NewFields(scope *Scope, node *yaml.Node, context string) *Fields {
	f := &Fields{scope: scope, context: context, span: scope.Span(node), node: resolve(node)}
	f.read()
	return f
}

func (f *Fields) read() {
	switch {
	case f.node == nil || isNull(f.node):
	case f.node.Kind != yaml.MappingNode:
		f.badKind = true
	default:
		for i := 0; i+1 < len(f.node.Content); i += 2 {
			k := f.node.Content[i]
			f.entries = append(f.entries, &entry{name: k.Value, key: k, value: resolve(f.node.Content[i+1])})
		}
	}
}

// resolve follows aliases, which Parse has already replaced; it is for trees from elsewhere.
func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < 100; i++ {
		n = n.Alias
	}
	if n != nil && n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		return n.Content[0]
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// Finish reports unknown keys and runs the checks. It must be called once, after all fields are declared;
// nested objects are finished by the method that declares them. It says whether the object is free of errors.
func (f *Fields) Finish() bool {
	if f.finished || f.mode != decoding {
		return !f.failed
	}
	f.finished = true
	if f.badKind {
		f.fail(f.span, f.context, "expected a mapping of keys to values, got "+kindOf(f.node), `write "key: value" lines, indented below`)
		return false
	}
	meant := map[string]bool{}
	for _, e := range f.entries {
		if !e.known && !slices.Contains(f.names, e.name) {
			message, advice := unknown("key", e.name, f.names)
			f.fail(f.scope.Span(e.key), f.context, message, advice)
			meant[diag.Suggest(e.name, f.names)] = true
		}
	}
	for _, m := range f.missing {
		// A key that is there but misspelt is reported once.
		if !slices.ContainsFunc(m.keys, func(key string) bool { return meant[key] }) {
			f.fail(f.span, f.context, m.message, m.advice)
		}
	}
	for _, check := range f.checks {
		if f.failed {
			break
		}
		if message, advice := check(); message != "" {
			f.fail(f.span, f.context, message, advice)
		}
	}
	return !f.failed
}

// Check declares a condition over several fields. It runs at Finish, unless the object has errors
// already; a message other than "" is reported at the object's position.
func (f *Fields) Check(check func() (message, advice string)) {
	if f.mode == decoding {
		f.checks = append(f.checks, check)
	}
}

// OneOf says that exactly one of the keys must be given.
func (f *Fields) OneOf(keys ...string) {
	f.rule(Rule{Keys: keys, Needed: true})
}

// AtMostOne says that no two of the keys may be given together.
func (f *Fields) AtMostOne(keys ...string) {
	f.rule(Rule{Keys: keys})
}

// Conflict says that the keys exclude each other: AtMostOne under the name that reads better for two.
func (f *Fields) Conflict(keys ...string) { f.AtMostOne(keys...) }

func (f *Fields) rule(r Rule) {
	if f.mode == describing {
		f.doc.Rules = append(f.doc.Rules, r)
	}
	if f.mode != decoding || f.badKind {
		return
	}
	var given []*entry
	for _, e := range f.entries {
		if slices.Contains(r.Keys, e.name) {
			given = append(given, e)
		}
	}
	switch {
	case len(given) > 1:
		var names []string
		for _, e := range given {
			names = append(names, e.name)
		}
		f.fail(f.scope.Span(given[1].key), f.context, list(names, "and")+" cannot be given together", "keep one of them")
	case len(given) == 0 && r.Needed:
		f.lack(missing{r.Keys, "one of " + list(r.Keys, "or") + " is needed", "give exactly one of them"})
	}
}

// lack notes what the file does not give; Finish reports it.
func (f *Fields) lack(m missing) {
	if f.mode == decoding {
		f.missing = append(f.missing, m)
		f.mark()
	}
}

// list is "a, b and c".
func list(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}

// Pos is the place of the object.
func (f *Fields) Pos() diag.Span { return f.span }

// SpanOf is the place of a key's value, or of the object when the key is not given.
func (f *Fields) SpanOf(key string) diag.Span {
	if e := f.find(key); e != nil {
		return f.valueSpan(e)
	}
	return f.span
}

// Given says whether the file has the key.
func (f *Fields) Given(key string) bool { return f.find(key) != nil }

// Mapping says whether the file has the key with a mapping as its value, for
// fields that are one in their long form only.
func (f *Fields) Mapping(key string) bool {
	e := f.find(key)
	return e != nil && e.value.Kind == yaml.MappingNode
}

// Errorf reports an error of the object, with its context in front.
func (f *Fields) Errorf(span diag.Span, format string, args ...any) {
	f.fail(span, f.context, fmt.Sprintf(format, args...), "")
}

// Fail is Errorf with advice: what to do about it.
func (f *Fields) Fail(span diag.Span, message, advice string) {
	f.fail(span, f.context, message, advice)
}

// Warnf reports a warning, with the object's context in front.
func (f *Fields) Warnf(span diag.Span, format string, args ...any) {
	if f.mode == decoding {
		f.scope.Diags.Warnf(span, "%s", join(f.context, fmt.Sprintf(format, args...)))
	}
}

// Scope is what the object was decoded in; an empty one while it describes itself.
func (f *Fields) Scope() *Scope { return f.scope }

// Describing says that there is no file: the declaration runs to describe itself.
func (f *Fields) Describing() bool { return f.mode == describing }

// Failed says whether the object or anything in it has an error so far.
func (f *Fields) Failed() bool { return f.failed }

func (f *Fields) fail(span diag.Span, context, message, advice string) {
	if f.mode != decoding {
		return
	}
	f.scope.errorf(span, join(context, message), advice)
	f.mark()
}

// mark makes the object and all that contain it count as wrong.
func (f *Fields) mark() {
	for g := f; g != nil; g = g.parent {
		g.failed = true
	}
}

func (f *Fields) find(name string) *entry {
	if f.mode != decoding {
		return nil
	}
	for _, e := range f.entries {
		if e.name == name {
			return e
		}
	}
	return nil
}

// declare notes that the object has a field; the entry is nil when the file does not give it.
func (f *Fields) declare(doc *FieldDoc) *field {
	if f.mode == describing {
		f.doc.Fields = append(f.doc.Fields, doc)
	}
	f.names = append(f.names, doc.Name)
	fd := &field{fields: f, doc: doc, entry: f.find(doc.Name)}
	if fd.entry != nil {
		fd.entry.known = true
	}
	return fd
}

// valueSpan is the place of a value; of the key when the value is empty, since an empty value stands nowhere.
func (f *Fields) valueSpan(e *entry) diag.Span {
	if isNull(e.value) && e.value.Value == "" {
		return f.scope.Span(e.key)
	}
	return f.scope.Span(e.value)
}

func (f *Fields) child(context string, node *yaml.Node, m mode) *Fields {
	c := &Fields{scope: f.scope, mode: m, context: join(f.context, context), parent: f, span: f.span}
	if m == decoding {
		c.node, c.span = resolve(node), f.scope.Span(node)
		c.read()
	}
	if m == describing {
		c.doc = &Doc{}
	}
	return c
}

// kindOf names what a node is, in plain words.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "nothing"
		case "!!bool":
			return n.Value
		}
		return fmt.Sprintf("%q", n.Value)
	}
	return "nothing"
}
