package process

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type lookupConfig struct {
	table     tableConfig
	key       conf.Expr
	into      conf.Text
	fields    []conf.Pair // name in the record, column
	onMissing string
}

func lookupStep() stage.Kind {
	return stage.DefineStep("lookup", "Adds what a table in a file knows of a record.", (*lookupConfig).bind, (*lookupConfig).build).
		WithExample(`lookup: {table: devices.csv, key: "device_id", fields: {site: site, device_model: model}}`)
}

func (c *lookupConfig) bind(f *conf.Fields) {
	f.Object("lookup", "The table, what to look up in it, and where the row goes. The file is read when the flow is checked, and again when it changes, "+
		"within a second while the flow runs. A new version that cannot be read is not taken: the flow goes on with the one that it has.", func(f *conf.Fields) {
		f.Text(&c.table.path, "table", "", "The file with the table: .csv with a header, .json with one list of objects, or .ndjson with an object a line. "+
			"A relative path starts at the working directory.").Required().NotEmpty()
		f.Text(&c.table.column, "column", "", "The column that the key is looked up in; by default the first one of a CSV file. Every row must have another value there.")
		f.StringMap(&c.table.types, "types", "Types of the columns of a CSV file: auto, string, int, float or bool. With auto, which is the default, what reads as a number is one.")
		f.Expr(&c.key, "key", "The value to look up. It is compared as text, so the number 7 finds the text \"7\".").Required()
		f.Text(&c.into, "into", "", "The field that gets the whole row, as an object.").NotEmpty()
		c.bindFields(f)
		f.OneOf("into", "fields")
		f.Check(func() (string, string) {
			if len(c.table.types) > 0 && c.table.ext() != ".csv" {
				return "types are for a CSV file; the values of a JSON file have their own", "remove types"
			}
			return "", ""
		})
		f.Enum(&c.onMissing, "on_missing", "keep", []string{"keep", "drop", "dead"}, "What becomes of a record without row: "+
			"`keep` passes it with null in its new fields, `drop` counts it as filtered, `dead` makes a dead letter of it.")
		f.Int(&c.table.maxRows, "max_rows", 1_000_000, "The most rows that the table may have.").Min(1)
		f.Size(&c.table.maxBytes, "max_bytes", 64<<20, "The most bytes that the file may have.").Min(1)
	}).Required()
}

// bindFields declares fields, a list of columns or a mapping to columns.
func (c *lookupConfig) bindFields(f *conf.Fields) {
	const name = "fields"
	const doc = "The columns to copy: a list of them, or a mapping from the names that the record gets to columns, such as {device_model: model}."
	if f.Describing() || !f.Given(name) || f.Mapping(name) {
		f.StringMap(&c.fields, name, doc).NotEmpty().Schema(map[string]any{
			"description": doc,
			"anyOf": []any{
				map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}, "minProperties": 1},
				map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "minItems": 1},
				map[string]any{"type": "string"},
			},
		})
		return
	}
	var columns []conf.Text
	f.Paths(&columns, name, doc).NotEmpty()
	for _, t := range columns {
		c.fields = append(c.fields, conf.Pair{Key: t, Value: t})
	}
}

func (c *lookupConfig) build(b *stage.Builder) stage.OperatorSpec {
	l := &lookup{drop: c.onMissing == "drop", dead: c.onMissing == "dead"}
	l.key = b.Expr(c.key)
	targets, typ := c.fields, expr.Any
	if c.into.Value != "" {
		targets, typ = []conf.Pair{{Key: c.into}}, expr.Map
	}
	for _, t := range targets {
		name, ok := topLevel(b, t.Key, fieldPath(b, t.Key), "choose a plain name, and move it with set behind the step")
		if !ok {
			continue
		}
		l.to = append(l.to, newWriter(b, name))
		if t.Value.Value != "" {
			c.table.columns = append(c.table.columns, t.Value)
		}
		b.Schema = b.Schema.With(name, typ)
		b.Wrote(name)
	}
	file := &tableFile{config: c.table}
	file.checked.Store(math.MinInt64)
	if err := file.open(); err != nil {
		b.Diags.Add(c.table.diagnose(b, err))
	}
	l.file = file
	l.name = filepath.Base(c.table.path.Value)
	return stage.OperatorSpec{
		New:     func() stage.Operator { return l.instance() },
		Timer:   time.Second,
		Retries: l.dead,
		Text:    "in " + l.name + " by " + c.key.Value,
	}
}

type lookup struct {
	key        *expr.Program
	file       *tableFile
	name       string
	to         []writer
	drop, dead bool
	shape      transition
}

func (l *lookup) instance() *lookup {
	o := *l
	o.to = slices.Clone(l.to)
	o.shape.apply = func(s *record.Shape) *record.Shape {
		for i := range o.to {
			s = s.Set(o.to[i].name, o.to[i].slot)
		}
		return s
	}
	return &o
}

func (l *lookup) Process(c *stage.Context, r *record.Record) stage.Verdict {
	key, err := l.key.Eval(&c.Scope)
	if err != nil {
		return c.Dead(r, "lookup: "+err.Error())
	}
	row := l.file.now.Load().find(key)
	switch {
	case row == nil && l.drop:
		return stage.Filter
	case row == nil && l.dead:
		return c.Fail(r, fmt.Sprintf("lookup: %s has no row for %s", l.name, display(key)))
	}
	for i := range l.to {
		v := record.NullValue()
		if row != nil && row[i].Kind() != record.Missing {
			v = row[i]
		}
		l.to[i].set(r, v)
	}
	r.Shape = l.shape.next(r.Shape)
	return stage.Pass
}

// Advance looks whether the file has changed. One lane a second does so for all.
func (l *lookup) Advance(c *stage.Context) { l.file.refresh(c.Now) }

// ext is the ending of the file, by which its format is known.
func (c *tableConfig) ext() string { return strings.ToLower(filepath.Ext(c.path.Value)) }
