package flow

import (
	"regexp"
	"slices"
	"strconv"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// place is what is known of the records at one place of a flow.
type place struct {
	schema *expr.Schema // nil: nothing is known
	// key is what the records' Key is made of; nil: there is no partition
	// before, or what it was made of is gone (lost).
	key  *stage.Key
	lost bool
	// lanes is the number of lanes that the last partition by a key made; 0:
	// there was none.
	lanes int
	// meta lists what the records have behind meta; nil: it is not known.
	meta []string
	// made says that a stage before makes the records here: nothing of them
	// is in payloads.
	made bool
	// opaque names the stage whose records are whole messages without fields.
	opaque string
	// ended names the route in which all records end, "" while some go on.
	ended string
}

// unknown is the place with nothing known of the fields, for going on behind a
// problem without reporting what follows from it.
func (p place) unknown() place {
	p.schema, p.meta, p.opaque, p.ended = nil, nil, "", ""
	return p
}

// needsPartition says whether records must be partitioned again for a stage
// with this key.
func (p place) needsPartition(wanted *stage.Key) bool { return p.lost || !p.key.Same(wanted) }

// joined is the place behind branches that come together. A field that not
// all of them have may be missing, hence keeps no type.
func joined(places []place) place {
	all := places[0]
	for _, p := range places[1:] {
		all.schema = joinSchemas(all.schema, p.schema)
		all.meta = joinMeta(all.meta, p.meta)
		all.made = all.made && p.made
		if all.opaque == "" {
			all.opaque = p.opaque
		}
		if all.lost || p.lost || !all.key.Same(p.key) || all.lanes != p.lanes {
			all.key, all.lost = nil, true
		}
		all.lanes = max(all.lanes, p.lanes)
	}
	return all
}

func joinSchemas(a, b *expr.Schema) *expr.Schema {
	if a == b {
		return a
	}
	all := &expr.Schema{Open: isOpen(a) || isOpen(b)}
	for _, name := range a.Names() {
		t, _ := a.Lookup(name)
		if other, ok := b.Lookup(name); !ok || other != t {
			t = expr.Any
		}
		all = all.With(name, t)
	}
	for _, name := range b.Names() {
		if _, ok := a.Lookup(name); !ok {
			all = all.With(name, expr.Any)
		}
	}
	return all
}

// joinMeta is what some of the records have behind meta.
func joinMeta(a, b []string) []string {
	if a == nil || b == nil {
		return nil
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// metaNames are the names behind meta of what a kind makes; nil when it does
// not say.
func metaNames(k stage.Kind) []string {
	var names []string
	for _, key := range k.Meta {
		names = append(names, key.Name)
	}
	return names
}

func isOpen(s *expr.Schema) bool { return s == nil || s.Open }

var wordPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// keyBehind is the key of records that a keyed stage made: they keep its key,
// whose parts are now fields of theirs. It is nil when one of them is not.
func (c *compiler) keyBehind(key *stage.Key, schema *expr.Schema) *stage.Key {
	behind := &stage.Key{}
	for _, f := range key.Fields {
		t, ok := schema.Lookup(f.Name)
		if !ok {
			return nil
		}
		source := f.Name
		if !wordPattern.MatchString(source) {
			source = "$env[" + strconv.Quote(source) + "]"
		}
		p, err := expr.Compile(source, expr.Env{Layout: c.layout, Schema: schema, Params: c.params})
		if err != nil {
			return nil
		}
		behind.Fields = append(behind.Fields, stage.KeyField{Name: f.Name, Type: t, Program: p, Source: source})
	}
	return behind
}

// top is the name of the field of a record that a path lies in.
func top(p record.Path) string { return p[0].Key }
