package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

const (
	formatJSON  = "json"
	formatCSV   = "csv"
	formatLines = "lines"
)

var formats = []string{formatJSON, formatCSV, formatLines}

// Config is the source as the flow file has it.
type Config struct {
	Path      conf.Text
	Format    string // "": by the name of each file
	Delimiter byte
	Header    bool
	Columns   []string
	Types     map[string]string
	Field     string // lines: the field that holds the line
	MaxRecord int64
	Follow    bool
}

// Source is the kind `file` among the sources.
func Source() stage.Kind {
	return stage.DefineSource("file",
		"Reads records from files or standard input: JSON or text line by line, or CSV.",
		(*Config).bind, build).WithExample(`file:
  path: "readings/*.csv"
  csv: {types: {zip: string}}
`).WithMeta(
		stage.MetaKey{Name: "file", Place: true, Doc: "The path of the file."},
		stage.MetaKey{Name: "line", Place: true, Doc: "The line on which the record begins, from 1."},
		stage.MetaKey{Name: "offset", Place: true, Doc: "The byte of the file at which it begins, from 0; of a file ending in .gz, that of its decompressed content."},
	)
}

func (c *Config) bind(f *conf.Fields) {
	f.Text(&c.Path, "path", "", `What to read: a file, a glob such as "data/*.ndjson" (its files are read in the order of their names), or "-" for standard input. Files ending in .gz are decompressed. Relative to the working directory.`).Required().NotEmpty()
	f.Enum(&c.Format, "format", "", formats, "What the bytes are: json (one object per line), csv, or lines (any text). By default the file's ending decides: .csv is csv, .txt and .log are lines, everything else is json.")
	f.Object("csv", "How CSV is read. Quoted fields may hold newlines.", func(f *conf.Fields) { c.bindCSV(f) })
	f.Object("lines", "How lines of text become records.", func(f *conf.Fields) {
		f.String(&c.Field, "field", "line", "The field that holds the line.").NotEmpty()
	})
	f.Size(&c.MaxRecord, "max_record", 1<<20, "The longest line or CSV row. A longer one is a dead letter, of which the first KiB is kept.").Min(1).Max(512 << 20)
	f.Bool(&c.Follow, "follow", false, "Keep reading as the file grows, like tail -F: a file that is truncated, or replaced by another of its name, is read from its beginning.")
	f.Check(c.check)
	f.Check(c.checkFollow)
}

func (c *Config) bindCSV(f *conf.Fields) {
	bindDelimiter(f, &c.Delimiter)
	f.Bool(&c.Header, "header", true, "The first line names the columns. Default: true, or false when columns is given.")
	f.Strings(&c.Columns, "columns", nil, "The names of the columns, for files without a header. With header: true as well, the header line is skipped.").NotEmpty()
	if f.Given("columns") && !f.Given("header") {
		c.Header = false
	}
	var types []conf.Pair
	f.StringMap(&types, "types", "The types of columns: auto, string, int, float or bool. Columns not named here are auto: a number, true, false, nothing (null), or else text.")
	c.Types = map[string]string{}
	for _, t := range types {
		// A reader of this one column refuses what is no type.
		_, err := record.NewCSV([]string{t.Key.Value}, ',', map[string]string{t.Key.Value: t.Value.Value})
		if err != nil {
			f.Errorf(t.Value.Span, "types: %v", err)
		}
		c.Types[t.Key.Value] = t.Value.Value
	}
	f.Check(func() (message, advice string) {
		switch {
		case !c.Header && len(c.Columns) == 0:
			return "without a header the columns have no names", "list them in columns, or remove header: false"
		case len(c.Columns) > 0:
			if _, err := record.NewCSV(c.Columns, c.Delimiter, c.Types); err != nil {
				return err.Error(), "see columns and types"
			}
		}
		return "", ""
	})
}

// bindDelimiter declares the key delimiter.
func bindDelimiter(f *conf.Fields, delimiter *byte) {
	var d conf.Text
	f.Text(&d, "delimiter", ",", `What stands between fields: one ASCII character; "tab" for a tab.`).NotEmpty()
	*delimiter = ','
	switch _, err := record.NewCSV([]string{"a"}, first(d.Value), nil); {
	case d.Value == "tab" || d.Value == `\t`:
		*delimiter = '\t'
	case utf8.RuneCountInString(d.Value) > 1:
		f.Errorf(d.Span, "delimiter: %q is more than one character", d.Value)
	case d.Value == "":
	case err != nil:
		f.Errorf(d.Span, "delimiter: %v", err)
	default:
		*delimiter = d.Value[0]
	}
}

func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

func (c *Config) check() (message, advice string) {
	if _, err := filepath.Match(c.Path.Value, ""); err != nil {
		return fmt.Sprintf("path: %q is not a glob: %v", c.Path.Value, err), `a "[" needs its "]"; write "\\[" for the character itself`
	}
	return "", ""
}

func (c *Config) checkFollow() (message, advice string) {
	switch {
	case !c.Follow:
	case c.Path.Value == stdin:
		return "standard input cannot be followed", "remove follow: it is read until it is closed anyway"
	case isGlob(c.Path.Value):
		return fmt.Sprintf("follow reads one file, and %q is a glob", c.Path.Value), "name one file"
	case compressed(c.Path.Value):
		return "a compressed file cannot be followed", "remove follow"
	}
	return "", ""
}

func build(c *Config, b *stage.Builder) stage.SourceSpec {
	text := c.Path.Value
	if text == stdin {
		text = "standard input"
	} else {
		c.warnMissing(b)
	}
	return stage.SourceSpec{
		New:  func(rt stage.Runtime) stage.Source { return newReader(*c, rt) },
		Raw:  true,
		Text: text,
	}
}

// warnMissing warns of a file that is not there. It may come until the flow runs.
func (c *Config) warnMissing(b *stage.Builder) {
	path := c.Path.Value
	if _, err := os.Stat(path); path == "" || isGlob(path) || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	advice := "paths are relative to the working directory"
	beside := filepath.Join(b.Dir, path)
	if _, err := os.Stat(beside); err == nil && !filepath.IsAbs(path) {
		advice += fmt.Sprintf("; the folder of the flow has it: write %q", beside)
	}
	b.Diags.Add(diag.Diagnostic{
		Severity: diag.Warning, Span: c.Path.Span,
		Message: fmt.Sprintf("%s: the file %q does not exist", b.Name, path), Advice: advice,
	})
}

// stdin is the path of standard input.
const stdin = "-"

func isGlob(path string) bool     { return strings.ContainsAny(path, `*?[`) }
func compressed(path string) bool { return strings.HasSuffix(path, ".gz") }

// formatOf is the format of a file by its name.
func (c *Config) formatOf(path string) string {
	if c.Format != "" {
		return c.Format
	}
	switch strings.ToLower(filepath.Ext(strings.TrimSuffix(path, ".gz"))) {
	case ".csv":
		return formatCSV
	case ".txt", ".log":
		return formatLines
	}
	return formatJSON
}
