package conf

// The types of fields, as reference pages name them.
const (
	TypeInt      = "integer"
	TypeFloat    = "number"
	TypeDuration = "duration"
	TypeSize     = "size"
	TypeString   = "string"
	TypeBool     = "boolean"
	TypeEnum     = "enum"
	TypePath     = "field"
	TypeExpr     = "expression"
	TypeObject   = "object"
	TypeAny      = "any"
)

// Kind is the shape of a field around its type.
type Kind string

const (
	KindScalar Kind = ""
	KindObject Kind = "object"
	KindList   Kind = "list" // of Type
	KindMap    Kind = "map"  // from names of the user's choice to Type
)

// Doc describes an object: what Describe makes of a declaration.
type Doc struct {
	Fields []*FieldDoc
	Rules  []Rule
	// Whole is set when the object is read as a whole, and then Fields is empty.
	Whole *FieldDoc
}

// Rule says that at most one of the keys may be given, or exactly one when it is needed.
type Rule struct {
	Keys   []string
	Needed bool
}

// FieldDoc describes one field.
type FieldDoc struct {
	Name     string
	Type     string
	Kind     Kind
	Default  string // as it would be written in a file; "" for none
	Doc      string
	Required bool
	NotEmpty bool
	Secret   bool
	Enum     []string
	Min, Max string // as they would be written in a file; "" for none
	Fields   []*FieldDoc
	Rules    []Rule
	Override map[string]any // replaces the field's JSON Schema
	// Short is set where each entry of a map of objects may be an expression alone: it names the field that
	// the expression then is.
	Short string

	def, min, max any
}

// Describe runs a declaration without a file and returns what it declared.
func Describe(bind func(*Fields)) *Doc {
	f := &Fields{mode: describing, doc: &Doc{}, scope: &Scope{}}
	bind(f)
	return f.doc
}

func (d *FieldDoc) optional() { d.Default, d.def = "", nil }

// take describes the fields of an object.
func (d *FieldDoc) take(bind func(*Fields)) {
	inner := Describe(bind)
	d.Fields, d.Rules = inner.Fields, inner.Rules
	if inner.Whole != nil {
		d.Type, d.Override = inner.Whole.Type, inner.Whole.Override
	}
}
