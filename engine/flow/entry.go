package flow

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
)

// entry is one entry with a kind: a mapping with exactly one kind as a key,
// beside some keys that every entry of its place may have.
type entry struct {
	fields *conf.Fields
	kind   string     // "" when there is none that is known
	value  *yaml.Node // what stands under the kind
	span   diag.Span  // of the kind, or of the entry
}

// slot is a place for an entry in the grammar: what the entry is called, which
// kinds may stand there, and which keys beside them.
type slot struct {
	what    string // "source", "stage", "step", "sink"
	roles   []stage.Role
	grammar []string // kinds of this package
	common  *conf.Doc
	example string
}

func sourceSlot() slot {
	return slot{
		what: "source", roles: []stage.Role{stage.RoleSource},
		common: conf.Describe(new(sourceConfig).bind), example: `file: {path: readings.ndjson}`,
	}
}

func stageSlot() slot {
	return slot{
		what: "stage", roles: []stage.Role{stage.RoleStage, stage.RoleStep}, grammar: []string{"partition", "process", "route"},
		common: conf.Describe(new(stageConfig).bind), example: `filter: "reading > 0"`,
	}
}

func stepSlot() slot {
	return slot{
		what: "step", roles: []stage.Role{stage.RoleStep},
		common: conf.Describe(new(stageConfig).bind), example: `filter: "reading > 0"`,
	}
}

func sinkSlot() slot {
	return slot{
		what: "sink", roles: []stage.Role{stage.RoleSink},
		common: conf.Describe(new(sinkConfig).bind), example: `stdout: {}`,
	}
}

func feedSlot() slot {
	return slot{
		what: "feed", roles: []stage.Role{stage.RoleFeed},
		common: conf.Describe(func(*conf.Fields) {}), example: `rabbitmq: {queue: flow_config}`,
	}
}

// keys lists the keys that an entry may have beside its kind.
func (s slot) keys() []string {
	var names []string
	for _, f := range s.common.Fields {
		names = append(names, f.Name)
	}
	return names
}

func (s slot) kinds(r *stage.Registry) []string { return append(r.Names(s.roles...), s.grammar...) }

func (s slot) find(r *stage.Registry, name string) (stage.Kind, bool) {
	for _, role := range s.roles {
		if k, ok := r.Find(role, name); ok {
			return k, true
		}
	}
	return stage.Kind{}, false
}

// open starts to decode an entry: it finds its kind and reports when there is
// not exactly one. bind declares the keys that every entry of the place may
// have; the caller declares those of the kind, and calls Finish.
func (c *compiler) open(n *yaml.Node, s slot, bind func(*conf.Fields)) *entry {
	e := &entry{span: c.scope.Span(n)}
	if n.Kind != yaml.MappingNode {
		c.notMapping(n, s)
		return e
	}
	e.fields = conf.NewFields(c.scope, n, "")
	bind(e.fields)
	common := s.keys()
	kinds := s.kinds(c.registry)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if slices.Contains(common, key.Value) || !slices.Contains(kinds, key.Value) {
			continue
		}
		if e.kind == "" {
			e.kind, e.value, e.span = key.Value, value, c.scope.Span(key)
			continue
		}
		c.ignore(e, key)
		c.fail(c.scope.Span(key), fmt.Sprintf("%q and %q are two %ss in one entry", e.kind, key.Value, s.what), s.split())
	}
	if e.kind == "" {
		c.noKind(e, n, s, common)
	}
	return e
}

func (s slot) split() string {
	switch s.what {
	case "source", "sink":
		if s.common.Fields == nil {
			return "keep one" // of telemetry there is one sink each
		}
		return fmt.Sprintf("keep one, or list them under %ss:, each behind a \"- \"", s.what)
	case "feed":
		return "keep one"
	}
	return `give each an entry of its own, behind a "- "`
}

// notMapping reports an entry that has no keys.
func (c *compiler) notMapping(n *yaml.Node, s slot) {
	got := "a list"
	if n.Kind == yaml.ScalarNode {
		got = quoted(n.Value)
	}
	if isEmpty(n) {
		got = "nothing"
	}
	advice := "write one such as " + s.example
	if slices.Contains(s.kinds(c.registry), n.Value) {
		advice = "write " + n.Value + ": {…}"
	}
	c.fail(c.scope.Span(n), fmt.Sprintf("expected a %s, got %s", s.what, got), advice)
}

// noKind reports an entry without a known kind: what it has instead.
func (c *compiler) noKind(e *entry, n *yaml.Node, s slot, common []string) {
	found := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if slices.Contains(common, key.Value) {
			continue
		}
		where := c.belongs(key.Value)
		near := diag.Suggest(key.Value, s.kinds(c.registry))
		if where == "" && near == "" && diag.Suggest(key.Value, common) != "" {
			continue // a misspelt key of the entry; Finish says so
		}
		found = true
		c.ignore(e, key)
		span := c.scope.Span(key)
		switch {
		case where != "":
			c.fail(span, where, s.elsewhere(key.Value, c.registry))
		case near != "":
			c.fail(span, fmt.Sprintf("unknown %s %q", s.what, key.Value), fmt.Sprintf("did you mean %q?", near))
		default:
			c.fail(span, fmt.Sprintf("unknown %s %q", s.what, key.Value), "known: "+strings.Join(s.kinds(c.registry), ", "))
		}
	}
	if !found {
		has := "the entry is empty"
		if len(n.Content) > 0 {
			has = fmt.Sprintf("the entry has %s but no %s", n.Content[0].Value, s.what)
		}
		c.fail(e.span, has, "add what it is, such as "+s.example)
	}
}

// ignore keeps a key that has been reported from being reported again.
func (c *compiler) ignore(e *entry, key *yaml.Node) {
	var unused *yaml.Node
	e.fields.Node(&unused, key.Value, "")
}

// belongs says what a kind is that stands in the wrong place, "" when it is no kind.
func (c *compiler) belongs(name string) string {
	var roles []string
	for _, role := range []stage.Role{stage.RoleSource, stage.RoleStage, stage.RoleStep, stage.RoleSink, stage.RoleFeed} {
		if _, ok := c.registry.Find(role, name); ok {
			roles = append(roles, "a "+role.String())
		}
	}
	if slices.Contains(stageSlot().grammar, name) {
		roles = append(roles, "a stage")
	}
	if roles == nil {
		return ""
	}
	return name + " is " + strings.Join(roles, " and ")
}

// elsewhere is where a kind that stands in the wrong place should be written.
func (s slot) elsewhere(name string, r *stage.Registry) string {
	var places []string
	add := func(slot slot, key string) {
		_, ok := slot.find(r, name)
		if (ok || slices.Contains(slot.grammar, name)) && !slices.Contains(places, key) {
			places = append(places, key)
		}
	}
	add(sourceSlot(), "source:")
	add(stageSlot(), "stages:")
	add(sinkSlot(), "sink:")
	add(feedSlot(), "control: {config_queue: …}")
	return "write it under " + strings.Join(places, " or ")
}

// finish ends the decoding of an entry. It says whether the entry has a kind
// and no errors.
func (e *entry) finish() bool {
	return e.fields != nil && e.fields.Finish() && e.kind != ""
}
