package conf

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the fields as a table, nested ones with dots: emit.every, bind[].exchange, columns.<name>.type.
func (d *Doc) Markdown(w io.Writer) error {
	var b strings.Builder
	if d.Whole != nil {
		b.WriteString(d.Whole.Doc + "\n")
	} else {
		b.WriteString("| field | type | default | meaning |\n|---|---|---|---|\n")
		rows(&b, "", d.Fields)
		rulesOf(&b, "", d.Fields, d.Rules)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func rows(b *strings.Builder, prefix string, fields []*FieldDoc) {
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", prefix+f.Name, f.typeCell(), f.defaultCell(), f.meaning())
		rows(b, prefix+f.Name+f.step(), f.Fields)
	}
}

// step is how a nested field is reached from f.
func (d *FieldDoc) step() string {
	switch d.Kind {
	case KindList:
		return "[]."
	case KindMap:
		return ".<name>."
	}
	return "."
}

func (d *FieldDoc) typeCell() string {
	switch d.Kind {
	case KindList:
		return "list of " + plural(d.Type)
	case KindMap:
		if d.Short != "" {
			return "map of expressions or objects"
		}
		return "map of " + plural(d.Type)
	}
	if d.Type == TypeEnum {
		return "`" + strings.Join(d.Enum, "`, `") + "`"
	}
	return d.Type
}

func plural(typ string) string {
	if typ == TypeAny {
		return "anything"
	}
	return typ + "s"
}

func (d *FieldDoc) defaultCell() string {
	switch {
	case d.Required:
		return "required"
	case d.Secret && d.def != nil && d.def != "":
		return ""
	case d.Default == "":
		return "–"
	}
	return "`" + cellText(d.Default) + "`"
}

func (d *FieldDoc) meaning() string {
	parts := []string{cellText(d.Doc)}
	switch {
	case d.Min != "" && d.Max != "":
		parts = append(parts, fmt.Sprintf("From %s to %s.", d.Min, d.Max))
	case d.Min != "":
		parts = append(parts, fmt.Sprintf("At least %s.", d.Min))
	case d.Max != "":
		parts = append(parts, fmt.Sprintf("At most %s.", d.Max))
	}
	if d.Secret {
		parts = append(parts, "Secret: never shown.")
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

// cellText keeps text inside its cell of the table.
func cellText(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

// rulesOf writes which keys go together, also of nested objects.
func rulesOf(b *strings.Builder, prefix string, fields []*FieldDoc, rules []Rule) {
	for _, r := range rules {
		var names []string
		for _, k := range r.Keys {
			names = append(names, "`"+prefix+k+"`")
		}
		how := "At most one of %s may be given."
		if r.Needed {
			how = "Exactly one of %s must be given."
		}
		fmt.Fprintf(b, "\n"+how+"\n", list(names, "and"))
	}
	for _, f := range fields {
		rulesOf(b, prefix+f.Name+f.step(), f.Fields, f.Rules)
	}
}
