package stage

import (
	"fmt"
	"sort"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

// Role says where in a flow file a kind may stand.
type Role uint8

const (
	RoleSource Role = iota
	RoleStage       // under stages:
	RoleStep        // under process:, and under stages: as a short form
	RoleSink
	RoleFeed // under control: config_queue:
)

var roleNames = [...]string{"source", "stage", "step", "sink", "feed"}

func (r Role) String() string { return roleNames[r] }

// Kind is the declaration of a stage: its name and summary, its typed config
// with defaults, checks and docs, and how to build it. Everything that people
// or editors read of a stage is generated from it.
type Kind struct {
	Name    string
	Summary string // one sentence
	Role    Role
	// Example is the stage as it stands in a flow file, YAML without indentation.
	Example string
	// Meta lists what records of a source, or those that a stage makes, have
	// behind meta in expressions; nil: it is not known.
	Meta []MetaKey

	bind  func() (config any, bind func(*conf.Fields))
	build func(config any, b *Builder) any
}

// Example adds an example to a kind.
func (k Kind) WithExample(yaml string) Kind {
	k.Example = yaml
	return k
}

// MetaKey is a name behind meta. One that ends in .* is open: the rest of the
// name is up to whoever sent the record.
type MetaKey struct {
	Name, Doc string
	// Place says that it tells where the record was read, rather than what
	// came with it: a recording of the record is better without.
	Place bool
}

// WithMeta adds what records have behind meta.
func (k Kind) WithMeta(keys ...MetaKey) Kind {
	k.Meta = keys
	return k
}

// DefineSource declares a source. bind declares the keys of its mapping, the
// value of `name:` in a flow file.
func DefineSource[C any](name, summary string, bind func(*C, *conf.Fields), build func(*C, *Builder) SourceSpec) Kind {
	return define(RoleSource, name, summary, bind, build)
}

// DefineStage declares an operator.
func DefineStage[C any](name, summary string, bind func(*C, *conf.Fields), build func(*C, *Builder) OperatorSpec) Kind {
	return define(RoleStage, name, summary, bind, build)
}

// DefineStep declares a step of process. Unlike the others, bind declares the
// step's own key, since the value of a step is often no mapping:
// `filter: "reading > 0"`.
func DefineStep[C any](name, summary string, bind func(*C, *conf.Fields), build func(*C, *Builder) OperatorSpec) Kind {
	return define(RoleStep, name, summary, bind, build)
}

// DefineSink declares a sink.
func DefineSink[C any](name, summary string, bind func(*C, *conf.Fields), build func(*C, *Builder) SinkSpec) Kind {
	return define(RoleSink, name, summary, bind, build)
}

// DefineFeed declares a feed.
func DefineFeed[C any](name, summary string, bind func(*C, *conf.Fields), build func(*C, *Builder) FeedSpec) Kind {
	return define(RoleFeed, name, summary, bind, build)
}

func define[C, S any](role Role, name, summary string, bind func(*C, *conf.Fields), build func(*C, *Builder) S) Kind {
	return Kind{
		Name: name, Summary: summary, Role: role,
		bind: func() (any, func(*conf.Fields)) {
			c := new(C)
			return c, func(f *conf.Fields) { bind(c, f) }
		},
		build: func(config any, b *Builder) any { return build(config.(*C), b) },
	}
}

// Decode declares the kind's keys on the fields of an entry of a flow file,
// beside whatever else the caller declares there, and returns the config to
// build from.
func (k Kind) Decode(entry *conf.Fields) any {
	config, bind := k.bind()
	if k.Role == RoleStep {
		bind(entry)
	} else {
		entry.Object(k.Name, k.Summary, bind)
	}
	return config
}

// Doc describes the kind's keys.
func (k Kind) Doc() *conf.Doc {
	_, bind := k.bind()
	return conf.Describe(bind)
}

// Source builds a source from what Decode returned. Problems go to b.Diags.
func (k Kind) Source(config any, b *Builder) SourceSpec { return k.build(config, b).(SourceSpec) }

// Operator builds an operator likewise.
func (k Kind) Operator(config any, b *Builder) OperatorSpec { return k.build(config, b).(OperatorSpec) }

// Sink builds a sink likewise.
func (k Kind) Sink(config any, b *Builder) SinkSpec { return k.build(config, b).(SinkSpec) }

// Feed builds a feed likewise.
func (k Kind) Feed(config any, b *Builder) FeedSpec { return k.build(config, b).(FeedSpec) }

// Registry is the set of kinds that a program knows. It is immutable.
type Registry struct {
	kinds []Kind
}

// NewRegistry makes a registry. It panics when two kinds of one role share a
// name, which is a mistake in the program.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: append([]Kind(nil), kinds...)}
	sort.SliceStable(r.kinds, func(i, j int) bool {
		a, b := r.kinds[i], r.kinds[j]
		if a.Role != b.Role {
			return a.Role < b.Role
		}
		return a.Name < b.Name
	})
	for i := 1; i < len(r.kinds); i++ {
		if r.kinds[i].Role == r.kinds[i-1].Role && r.kinds[i].Name == r.kinds[i-1].Name {
			panic(fmt.Sprintf("two %ss called %q", r.kinds[i].Role, r.kinds[i].Name))
		}
	}
	return r
}

// Kinds lists the kinds by role and name.
func (r *Registry) Kinds() []Kind { return r.kinds }

// Find is the kind of a role and name.
func (r *Registry) Find(role Role, name string) (Kind, bool) {
	for _, k := range r.kinds {
		if k.Role == role && k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Names lists the names of the kinds of some roles.
func (r *Registry) Names(roles ...Role) []string {
	var names []string
	for _, role := range roles {
		for _, k := range r.kinds {
			if k.Role == role {
				names = append(names, k.Name)
			}
		}
	}
	return names
}

// Suggest is advice for a name that is not in the registry.
func (r *Registry) Suggest(name string, roles ...Role) string {
	if near := diag.Suggest(name, r.Names(roles...)); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
