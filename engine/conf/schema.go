package conf

import (
	"maps"
	"time"
)

// reference is the pattern of a value that contains a reference, which any scalar may.
const referencePattern = `\$\{.+\}`

// Schema is the JSON Schema (draft 2020-12) of the object, without "$schema". The caller owns the result.
func (d *Doc) Schema() map[string]any {
	if d.Whole != nil {
		return d.Whole.schema()
	}
	return objectSchema(d.Fields, d.Rules)
}

func objectSchema(fields []*FieldDoc, rules []Rule) map[string]any {
	properties := map[string]any{}
	var required []any
	for _, f := range fields {
		properties[f.Name] = f.schema()
		if f.Required {
			required = append(required, f.Name)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		s["required"] = required
	}
	var all []any
	for _, r := range rules {
		all = append(all, r.schemas()...)
	}
	if all != nil {
		s["allOf"] = all
	}
	if required == nil && !needsKey(rules) {
		// A key without a value is an object in which everything has its default.
		s["type"] = []any{"object", "null"}
	}
	return s
}

func needsKey(rules []Rule) bool {
	for _, r := range rules {
		if r.Needed {
			return true
		}
	}
	return false
}

func (r Rule) schemas() []any {
	var each []any
	for _, k := range r.Keys {
		each = append(each, map[string]any{"required": []any{k}})
	}
	if r.Needed {
		return []any{map[string]any{"oneOf": each}}
	}
	var all []any
	for i := range each {
		for j := i + 1; j < len(each); j++ {
			all = append(all, map[string]any{"not": map[string]any{"required": []any{r.Keys[i], r.Keys[j]}}})
		}
	}
	return all
}

// schema is the field's part of the schema, with its documentation.
func (d *FieldDoc) schema() map[string]any {
	s := d.shape()
	if d.Doc != "" {
		s["description"] = d.Doc
	}
	if def := d.schemaDefault(); def != nil && !d.Required && !d.Secret {
		s["default"] = def
	}
	return s
}

func (d *FieldDoc) shape() map[string]any {
	if d.Override != nil {
		return maps.Clone(d.Override)
	}
	switch d.Kind {
	case KindObject:
		if d.Type == TypeAny {
			return map[string]any{}
		}
		return objectSchema(d.Fields, d.Rules)
	case KindList:
		item := d.item()
		list := map[string]any{"type": "array", "items": item}
		if d.NotEmpty {
			list["minItems"] = 1
		}
		if d.Type == TypeObject || d.Type == TypeAny {
			return list
		}
		return map[string]any{"anyOf": []any{item, list}}
	case KindMap:
		item := d.item()
		if d.Short != "" {
			item = map[string]any{"anyOf": []any{expression(), item}}
		}
		m := map[string]any{"type": "object", "additionalProperties": item}
		if d.NotEmpty {
			m["minProperties"] = 1
		}
		return m
	}
	return d.item()
}

// item is the schema of one value of the field's type.
func (d *FieldDoc) item() map[string]any {
	switch d.Type {
	case TypeInt:
		return orReference(d.bounded(map[string]any{"type": "integer"}))
	case TypeFloat:
		return orReference(d.bounded(map[string]any{"type": "number"}))
	case TypeBool:
		return orReference(map[string]any{"type": "boolean"})
	case TypeEnum:
		return orReference(map[string]any{"enum": d.Enum})
	case TypeDuration:
		return orReference(map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w))+$`})
	case TypeSize:
		return map[string]any{"anyOf": []any{
			d.bounded(map[string]any{"type": "integer", "minimum": 0}),
			map[string]any{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)? *([kKmMgGtT][iI]?)?[bB]?$|` + referencePattern},
		}}
	case TypeExpr:
		return expression()
	case TypePath:
		return map[string]any{"type": []any{"string", "number"}, "minLength": 1}
	case TypeObject:
		return objectSchema(d.Fields, d.Rules)
	case TypeString:
		s := map[string]any{"type": []any{"string", "number", "boolean"}}
		if d.NotEmpty && d.Kind == KindScalar {
			s["minLength"] = 1
		}
		if d.Secret {
			s["format"] = "password"
		}
		return s
	}
	return map[string]any{}
}

func expression() map[string]any {
	return map[string]any{"type": []any{"string", "number", "boolean"}}
}

func (d *FieldDoc) bounded(s map[string]any) map[string]any {
	if d.min != nil {
		s["minimum"] = d.min
	}
	if d.max != nil {
		s["maximum"] = d.max
	}
	return s
}

func orReference(s map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{s, map[string]any{"type": "string", "pattern": referencePattern}}}
}

// schemaDefault is the default as a JSON value of the field's type.
func (d *FieldDoc) schemaDefault() any {
	switch def := d.def.(type) {
	case nil:
		return nil
	case time.Duration:
		return FormatDuration(def)
	case string:
		if def == "" {
			return nil
		}
	}
	return d.def
}
