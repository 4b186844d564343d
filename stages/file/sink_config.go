package file

import (
	"context"
	"fmt"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

const (
	modeTruncate = "truncate"
	modeAppend   = "append"
	modeFail     = "fail"
)

// SinkConfig is the sink as the flow file has it.
type SinkConfig struct {
	Path      conf.Text
	Format    string
	Columns   []conf.Text
	Delimiter byte
	Header    bool
	Field     conf.Text
	Mode      string
	Sync      bool

	slots  []record.Slot // of the columns, or of the field
	opaque bool
}

// Sink is the kind `file` among the sinks.
func Sink() stage.Kind {
	return stage.DefineSink("file",
		"Writes records to a file: one JSON object or text per line, or CSV.",
		(*SinkConfig).bind, buildSink).WithExample(`file:
  path: out/readings.csv
  format: csv
  columns: [sensor_id, celsius]
`)
}

func (c *SinkConfig) bind(f *conf.Fields) {
	f.Text(&c.Path, "path", "", "The file. Relative to the working directory; missing folders are made.").Required().NotEmpty()
	f.Enum(&c.Format, "format", formatJSON, formats, "What is written of a record: json (the object on one line), csv (some columns), or lines (the text of one field).")
	f.Paths(&c.Columns, "columns", "csv: the fields that are written, in this order. Their names are the header.").NotEmpty()
	bindDelimiter(f, &c.Delimiter)
	f.Bool(&c.Header, "header", true, "csv: an empty file begins with the names of the columns.")
	f.Path(&c.Field, "field", "lines: the field whose text is written. Newlines in it become spaces; a record without it is an empty line.")
	f.Enum(&c.Mode, "mode", modeTruncate, []string{modeTruncate, modeAppend, modeFail}, "What happens to a file that is there when a run begins: truncate empties it, append writes behind its end, fail refuses to start. A run that is resumed always goes on behind what it wrote.")
	f.Bool(&c.Sync, "sync", false, "Records count as written only when the disk has them (fsync), and not when the operating system has: needed to survive a power cut, at the cost of a disk write per epoch.")
	f.Check(func() (message, advice string) {
		switch {
		case c.Format == formatCSV && len(c.Columns) == 0:
			return "csv needs columns", `list the fields to write: columns: [a, b]`
		case c.Format == formatLines && c.Field.Value == "":
			return "lines needs field", "name the field whose text is written"
		case c.Format != formatCSV && len(c.Columns) > 0:
			return "columns is for format: csv", "add format: csv, or remove columns"
		case c.Format != formatLines && c.Field.Value != "":
			return "field is for format: lines", "add format: lines, or remove field"
		case c.Path.Value == stdin:
			return `path: "-" is not a file`, "use the sink stdout"
		}
		return "", ""
	})
}

func buildSink(c *SinkConfig, b *stage.Builder) stage.SinkSpec {
	c.opaque = b.Opaque
	paths := c.Columns
	if c.Field.Value != "" {
		paths = []conf.Text{c.Field}
	}
	if b.Opaque && c.Format != formatJSON {
		b.Errorf(c.Path.Span, "%s: format %s picks fields, and what arrives here is whole messages; write them with format: json", b.Name, c.Format)
	}
	for _, path := range paths {
		c.slots = append(c.slots, field(b, path))
	}
	spec := stage.SinkSpec{
		New:  func(rt stage.Runtime) stage.Sink { return newWriter(*c, rt) },
		Text: c.Path.Value,
	}
	if c.Format == formatJSON {
		spec.Letters = func(_ context.Context, rt stage.Runtime) (deadletter.Store, error) {
			return deadletter.OpenFile(c.Path.Value, rt.Lock)
		}
	}
	return spec
}

// field is the slot of a field that is to be written.
func field(b *stage.Builder, text conf.Text) record.Slot {
	path, err := record.ParsePath(text.Value)
	if err != nil {
		b.Errorf(text.Span, "%s: %v", b.Name, err)
		return 0
	}
	if _, known := b.Schema.Lookup(path[0].Key); !known && b.Schema != nil && !b.Schema.Open {
		problem := diag.Diagnostic{Span: text.Span, Message: fmt.Sprintf("%s: unknown field %q", b.Name, path[0].Key)}
		if near := diag.Suggest(path[0].Key, b.Schema.Names()); near != "" {
			problem.Advice = fmt.Sprintf("did you mean %q?", near)
		}
		b.Diags.Add(problem)
	}
	return b.Layout.Slot(path)
}
