package stagetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
)

// configs checks how a kind reads its config: that mistakes are reported where
// they stand, and that neither a right nor a wrong config makes it panic,
// start or touch anything.
func (c *checked) configs(t *testing.T) {
	before := listing(t)
	running := goleak.IgnoreCurrent()
	c.make(t, c.sound(t))
	t.Run("unknown key", c.unknownKeys)
	t.Run("wrong type", c.wrongTypes)
	t.Run("random", c.randomConfigs)
	if after := listing(t); !slices.Equal(after, before) {
		t.Errorf("building has changed files:\n%v\nwere\n%v", after, before)
	}
	if err := goleak.Find(running); err != nil {
		t.Errorf("building has started something: %v", err)
	}
}

// make makes an instance, which must not open anything.
func (c *checked) make(t *testing.T, b *built) {
	t.Helper()
	rt := stage.Runtime{Flow: "flow", Name: c.kind.Name, Clock: clock.System{}, Log: quiet(), MaxBatch: 10}
	switch c.kind.Role {
	case stage.RoleSource:
		if b.source.New(rt) == nil || b.source.Text == "" {
			t.Errorf("no source, or no text: %+v", b.source)
		}
	case stage.RoleSink:
		if b.sink.New(rt) == nil || b.sink.Text == "" {
			t.Errorf("no sink, or no text: %+v", b.sink)
		}
	case stage.RoleFeed:
		if b.feed.New(rt) == nil || b.feed.Text == "" {
			t.Errorf("no feed, or no text: %+v", b.feed)
		}
	default:
		if b.operator.New() == nil || b.operator.Text == "" {
			t.Errorf("no operator, or no text: %+v", b.operator)
		}
	}
}

// tree is the sample as YAML nodes, a fresh one each time.
func (c *checked) tree(t *testing.T) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(c.sample.Config), &n); err != nil {
		t.Fatal(err)
	}
	return n.Content[0]
}

// walk visits every mapping and every scalar value below a node, with what
// leads to it.
func walk(n *yaml.Node, path []string, visit func(n *yaml.Node, path []string)) {
	visit(n, path)
	for i, child := range n.Content {
		switch {
		case n.Kind == yaml.MappingNode && i%2 == 1:
			walk(child, append(slices.Clone(path), n.Content[i-1].Value), visit)
		case n.Kind == yaml.SequenceNode:
			walk(child, append(slices.Clone(path), "[]"), visit)
		}
	}
}

// unknownKeys puts a key that nobody declares into every mapping with fields.
func (c *checked) unknownKeys(t *testing.T) {
	var wrong [][]string
	walk(c.tree(t), nil, func(n *yaml.Node, path []string) {
		if f := c.field(path); n.Kind == yaml.MappingNode && f != nil && f.Kind == conf.KindObject && len(f.Fields) > 0 {
			wrong = append(wrong, path)
		}
	})
	for _, path := range wrong {
		root := c.tree(t)
		walk(root, nil, func(n *yaml.Node, at []string) {
			if slices.Equal(at, path) {
				n.Style = 0
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "zz_unknown"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "1"})
			}
		})
		text := written(t, root)
		_, diags := build(c.kind, text)
		line := 1 + strings.Count(text[:strings.Index(text, "zz_unknown")], "\n")
		if !slices.ContainsFunc(diags, func(d diag.Diagnostic) bool {
			return d.Severity == diag.Error && strings.Contains(d.Message, `"zz_unknown"`) && d.Span.Start.Line == line && d.Span.Start.Col > 0
		}) {
			t.Errorf("an unknown key in %s is not reported at line %d:\n%s\n%v", strings.Join(path, "."), line, text, diags.Err())
		}
	}
}

// field is what the kind declares at a path of a config, nil when nothing.
func (c *checked) field(path []string) *conf.FieldDoc {
	if len(path) == 0 || path[0] != c.kind.Name {
		return nil
	}
	doc := c.kind.Doc()
	all := doc.Fields
	if c.kind.Role != stage.RoleStep {
		path = path[1:]
		if len(path) == 0 {
			return &conf.FieldDoc{Kind: conf.KindObject, Fields: all}
		}
	}
	var f *conf.FieldDoc
	for _, name := range path {
		i := slices.IndexFunc(all, func(d *conf.FieldDoc) bool { return d.Name == name })
		if i < 0 {
			return nil
		}
		f = all[i]
		all = f.Fields
	}
	return f
}

// wrongTypes gives every scalar field that the sample sets, or could set, a
// mapping.
func (c *checked) wrongTypes(t *testing.T) {
	all := c.kind.Doc().Fields
	if c.kind.Role == stage.RoleStep {
		all = nil
		for _, f := range c.kind.Doc().Fields {
			if f.Kind == conf.KindScalar && f.Override == nil {
				all = append(all, f)
			}
		}
	}
	for _, f := range all {
		if f.Kind != conf.KindScalar || f.Type == conf.TypeAny || f.Override != nil {
			continue
		}
		root := c.tree(t)
		into := root
		if c.kind.Role != stage.RoleStep {
			into = root.Content[1]
		}
		if into.Kind != yaml.MappingNode {
			continue
		}
		set(into, f.Name, &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Value: "zz"}, {Kind: yaml.ScalarNode, Value: "1"},
		}})
		text := written(t, root)
		b, diags := build(c.kind, text)
		lines := strings.Count(text, "\n") + 1
		positioned := slices.ContainsFunc(diags, func(d diag.Diagnostic) bool {
			s := d.Span
			return d.Severity == diag.Error && s.File == fileName && s.Start.Line >= 1 && s.Start.Line <= lines && s.Start.Col >= 1
		})
		if b != nil || !positioned {
			t.Errorf("%s: a mapping is not reported where it stands:\n%s\n%v", f.Name, text, diags.Err())
		}
	}
}

// set gives a key of a mapping a value, in its place or at the end.
func set(mapping *yaml.Node, key string, value *yaml.Node) {
	mapping.Style = 0
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content[i+1] = value
			return
		}
	}
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
}

func written(t *testing.T, n *yaml.Node) string {
	t.Helper()
	text, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// randomConfigs builds random configs: the sample with other scalars, and
// whatever the declaration allows. What is accepted is made as well.
func (c *checked) randomConfigs(t *testing.T) {
	rnd := c.rnd(1)
	n := 200
	if c.sample.Config != c.kind.Example {
		n = 10 // the declaration is the same; only the sample is not
	}
	for range n {
		var text string
		if rnd.IntN(2) == 0 {
			root := c.tree(t)
			c.mutate(rnd, root)
			text = written(t, root)
		} else {
			text = written(t, c.random(rnd))
		}
		c.survives(t, text)
	}
}

// survives builds a config, and makes what comes of it.
func (c *checked) survives(t *testing.T, text string) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v\n%s", p, text)
		}
	}()
	b, diags := build(c.kind, text)
	if b == nil {
		if !diags.HasErrors() {
			t.Errorf("neither built nor refused:\n%s", text)
		}
		for _, d := range diags {
			if d.Message == "" || d.Span.File == "" {
				t.Errorf("a diagnostic without text or place: %+v\n%s", d, text)
			}
		}
		return
	}
	c.make(t, b)
}

// mutate replaces a scalar of the sample.
func (c *checked) mutate(rnd *rand.Rand, root *yaml.Node) {
	var scalars []*yaml.Node
	walk(root, nil, func(n *yaml.Node, path []string) {
		if n.Kind == yaml.ScalarNode {
			scalars = append(scalars, n)
		}
	})
	if len(scalars) > 0 {
		*scalars[rnd.IntN(len(scalars))] = *randomScalar(rnd, "")
	}
}

// random makes a config of some of the declared fields.
func (c *checked) random(rnd *rand.Rand) *yaml.Node {
	doc := c.kind.Doc()
	if c.kind.Role == stage.RoleStep {
		return randomObject(rnd, doc.Fields, doc.Rules)
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	set(root, c.kind.Name, randomObject(rnd, doc.Fields, doc.Rules))
	return root
}

func randomObject(rnd *rand.Rand, fields []*conf.FieldDoc, rules []conf.Rule) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	without := map[string]bool{}
	for _, r := range rules {
		keep := r.Keys[rnd.IntN(len(r.Keys))]
		for _, key := range r.Keys {
			without[key] = key != keep
		}
	}
	for _, f := range fields {
		if !without[f.Name] && (f.Required || rnd.IntN(2) == 0) {
			set(n, f.Name, randomValue(rnd, f))
		}
	}
	return n
}

func randomValue(rnd *rand.Rand, f *conf.FieldDoc) *yaml.Node {
	if rnd.IntN(20) == 0 {
		return randomScalar(rnd, "")
	}
	one := func() *yaml.Node {
		if f.Type == conf.TypeObject {
			return randomObject(rnd, f.Fields, f.Rules)
		}
		if f.Type == conf.TypeEnum && rnd.IntN(8) > 0 {
			return &yaml.Node{Kind: yaml.ScalarNode, Value: f.Enum[rnd.IntN(len(f.Enum))]}
		}
		return randomScalar(rnd, f.Type)
	}
	switch f.Kind {
	case conf.KindList:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for range rnd.IntN(4) {
			n.Content = append(n.Content, one())
		}
		return n
	case conf.KindMap:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i := range rnd.IntN(4) {
			set(n, fmt.Sprintf("n%d", i), one())
		}
		return n
	}
	return one()
}

var (
	durations   = []string{"0s", "1ns", "1ms", "10s", "1d", "2w", "90m", "-1s", "200y", "1e9s", "106751d"}
	expressions = []string{"x", "x > 1", `"a"`, "nil", "1 / 0", "x +", "len(x)", "a.b[0].c", "now()", "count()", "sum(x)", "quantile(x, 2)", "top(x, 0)", "[1, 2]", "{a: 1}", "x ? 1 : 2", "true"}
	paths       = []string{"x", "a.b", "a[0]", `["odd name"].x`, "a..b", "", "a[", "id", "meta.line"}
	words       = []string{"", "x", "a/b", "../x", "*", "[", "/", "\x01", "ünïcode", "a\nb", ";", "Europe/Vienna", "100", "30s", "{}", "~", "${NOT_SET}", "${NOT_SET:-1}"}
	numbers     = []string{"0", "1", "-1", "2", "100", "300", "9223372036854775807", "9223372036854775808", "1.5", "1e308", ".nan", ".inf"}
	sizes       = []string{"0", "1", "1KiB", "10MB", "-1", "1000TiB", "1.5k"}
)

// randomScalar is a value for a type, or for any with "".
func randomScalar(rnd *rand.Rand, typ string) *yaml.Node {
	from := slices.Concat(durations, expressions, paths, words, numbers, sizes, []string{"true", "null"})
	switch typ {
	case conf.TypeInt, conf.TypeFloat:
		from = numbers
	case conf.TypeDuration:
		from = durations
	case conf.TypeSize:
		from = sizes
	case conf.TypeBool:
		from = []string{"true", "false", "yes"}
	case conf.TypePath:
		from = paths
	case conf.TypeExpr:
		from = expressions
	case conf.TypeString:
		from = words
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: from[rnd.IntN(len(from))]}
	if typ == conf.TypeString || typ == conf.TypeExpr || typ == conf.TypePath || rnd.IntN(3) == 0 {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
