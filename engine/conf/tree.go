package conf

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// builder copies a tree without its aliases and merge keys, within the limits, and reports what no file should have.
type builder struct {
	scope   *Scope
	limits  Limits
	nodes   int
	aliases int                 // how many aliases lead to where we are; what is reported inside was reported before
	open    map[*yaml.Node]bool // anchors whose content we are in
	stopped bool                // a limit is broken
}

func (b *builder) fail(n *yaml.Node, context, message, advice string) {
	if b.aliases == 0 {
		b.scope.errorf(b.scope.Span(n), join(context, message), advice)
	}
}

// stop reports a broken limit once, also inside an alias.
func (b *builder) stop(n *yaml.Node, message, advice string) {
	if !b.stopped {
		b.stopped = true
		b.scope.errorf(b.scope.Span(n), message, advice)
	}
}

// build copies n. The context is the key it is the value of.
func (b *builder) build(n *yaml.Node, depth int, context string) *yaml.Node {
	if n.Kind == yaml.DocumentNode {
		if len(n.Content) == 0 {
			return nil
		}
		return b.build(n.Content[0], depth, context)
	}
	c := *n
	c.Alias, c.Content = nil, nil
	if b.nodes++; b.nodes > b.limits.Nodes {
		b.stop(n, fmt.Sprintf("the file has more than %d values after its aliases are expanded", b.limits.Nodes), "use fewer aliases, or split it")
	}
	if depth > b.limits.Depth {
		b.stop(n, fmt.Sprintf("the file is nested deeper than %d levels", b.limits.Depth), "nest less")
	}
	if b.stopped {
		return &c
	}
	switch n.Kind {
	case yaml.AliasNode:
		return b.alias(n, depth, context)
	case yaml.SequenceNode:
		b.tag(&c, context)
		for _, item := range b.joined(n, 1, context) {
			c.Content = append(c.Content, b.build(item, depth+1, context))
		}
	case yaml.MappingNode:
		b.tag(&c, context)
		b.mapping(n, &c, depth, context)
	default:
		b.tag(&c, context)
	}
	return &c
}

func (b *builder) alias(n *yaml.Node, depth int, context string) *yaml.Node {
	if b.open[n.Alias] {
		b.stop(n, fmt.Sprintf("anchor %q contains itself", n.Value), "remove the alias, or write out what it stands for")
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	b.open[n.Alias] = true
	b.aliases++
	c := b.build(n.Alias, depth, context)
	b.aliases--
	delete(b.open, n.Alias)
	// The anchor was judged where it stands; here it is only content.
	c.Anchor = ""
	return c
}

// mapping fills c with the entries of n. What is written in n itself wins over what is merged in, and an
// earlier merged mapping over a later one, as the YAML merge key draft says.
func (b *builder) mapping(n, c *yaml.Node, depth int, context string) {
	if n.Anchor != "" {
		b.open[n] = true
		defer delete(b.open, n)
	}
	content := b.joined(n, 2, context)
	explicit := map[string]*yaml.Node{}
	seen := map[string]bool{}
	for i := 0; i+1 < len(content); i += 2 {
		if k := content[i]; !isMerge(k) {
			if _, ok := explicit[k.Value]; !ok && k.Kind == yaml.ScalarNode {
				explicit[k.Value] = k
			}
		}
	}
	for i := 0; i+1 < len(content) && !b.stopped; i += 2 {
		k, v := content[i], content[i+1]
		if isMerge(k) {
			b.merge(v, c, explicit, seen, depth)
			continue
		}
		key := b.build(k, depth+1, "")
		if key.Kind != yaml.ScalarNode || isNull(key) && key.Value == "" {
			b.fail(k, "", "expected a name as key, got "+kindOf(key), `write "name: value"; quote an expression that starts with "{", "[" or "?"`)
			b.build(v, depth+1, "")
			continue
		}
		value := b.build(v, depth+1, key.Value)
		if seen[key.Value] {
			first := explicit[key.Value]
			if first == nil {
				first = k
			}
			b.fail(k, "", fmt.Sprintf("duplicate key %q; it is first at %d:%d", key.Value, first.Line, first.Column), "keep one of them")
			continue
		}
		seen[key.Value] = true
		c.Content = append(c.Content, key, value)
	}
}

func isMerge(k *yaml.Node) bool {
	return k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge"
}

func (b *builder) merge(v, c *yaml.Node, explicit map[string]*yaml.Node, seen map[string]bool, depth int) {
	m := b.build(v, depth+1, "<<")
	sources := []*yaml.Node{m}
	if m.Kind == yaml.SequenceNode {
		sources = m.Content
	}
	for _, s := range sources {
		if b.stopped {
			return
		}
		if s.Kind != yaml.MappingNode {
			b.fail(v, "<<", "expected a mapping to merge, or a list of them, got "+kindOf(s), "name an anchor: <<: *name")
			continue
		}
		for i := 0; i+1 < len(s.Content); i += 2 {
			name := s.Content[i].Value
			if explicit[name] == nil && !seen[name] {
				seen[name] = true
				c.Content = append(c.Content, s.Content[i], s.Content[i+1])
			}
		}
	}
}

// tag refuses tags that are not YAML's own: they are almost always an expression that starts with "!".
// The value is mended to what was meant.
func (b *builder) tag(n *yaml.Node, context string) {
	switch n.Tag {
	case "", "!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp", "!!binary", "!!merge":
		return
	}
	tag := strings.Replace(n.Tag, "tag:yaml.org,2002:", "!!", 1)
	if n.Kind != yaml.ScalarNode {
		b.fail(n, context, fmt.Sprintf("%q is read as a YAML tag", tag), "quote the expression, or remove the tag")
		n.Tag = ""
		return
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		n.Value = quote(n.Value)
	}
	meant := strings.TrimSpace(tag + " " + n.Value)
	left := "and the value is empty"
	if n.Value != "" {
		left = fmt.Sprintf("and only %q is left", n.Value)
	}
	n.Value = tag
	b.fail(n, context, fmt.Sprintf("%q is read as a YAML tag, %s", tag, left), "quote the expression: "+quote(meant))
	n.Value, n.Tag, n.Style = meant, "!!str", yaml.DoubleQuotedStyle
}

// joinLimit is the number of arguments that a call which was split may have; it bounds the work in a hostile file.
const joinLimit = 16

// joined is the content of n, of which step nodes make one entry, with entries put together again
// that a comma inside brackets has split: {m: max(a, b)} has two keys for YAML, [max(a, b)] two items.
func (b *builder) joined(n *yaml.Node, step int, context string) []*yaml.Node {
	if n.Style&yaml.FlowStyle == 0 {
		return n.Content
	}
	var out []*yaml.Node
	for i := 0; i+step <= len(n.Content); {
		entry := n.Content[i : i+step]
		i += step
		value := entry[step-1]
		if !isPlain(value) {
			out = append(out, entry...)
			continue
		}
		whole, next := value.Value, i
		for depth, quoted := scan(whole); depth > 0 && !quoted && next-i < joinLimit*step && next+step <= len(n.Content); depth, quoted = scan(whole) {
			part := n.Content[next : next+step]
			if !isPlain(part[0]) || step == 2 && !(isNull(part[1]) && part[1].Value == "") {
				break
			}
			whole += ", " + part[0].Value
			next += step
		}
		if next > i && balanced(whole) {
			at := context
			if step == 2 {
				at = join(context, entry[0].Value)
			}
			mended := *value
			mended.Value, mended.Tag = whole, "!!str"
			b.fail(&mended, at, fmt.Sprintf("%q is split at its comma", whole), "quote the expression: "+quote(whole))
			mended.Style = yaml.DoubleQuotedStyle
			entry = append([]*yaml.Node{}, entry...)
			entry[step-1] = &mended
			i = next
		}
		out = append(out, entry...)
	}
	return out
}

func isPlain(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0
}
