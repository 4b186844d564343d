package flowtest

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// edit puts other records in place of a list in the file of a test.
type edit struct {
	node *yaml.Node
	list []string // records as YAML, each on a line
}

// takeOver notes what came as what is expected from now on. It says whether
// that can be written: a list that has expressions is for a person to change.
func (r *records) takeOver(run *run, arrivals []Arrival) bool {
	if !r.listed || r.path != "" || r.node == nil || slices.ContainsFunc(r.want, func(w wanted) bool { return w.cond != nil }) {
		return false
	}
	var fields []string
	for _, w := range r.want {
		m, _ := w.doc.(map[string]any)
		for key := range m {
			if !slices.Contains(fields, key) {
				fields = append(fields, key)
			}
		}
	}
	if r.whole {
		fields = nil
	}
	e := edit{node: r.node}
	for i := range arrivals {
		e.list = append(e.list, yamlOf(arrivals[i].Doc, fields))
	}
	run.edits = append(run.edits, e)
	return true
}

// Update writes what came into the lists of records that the file expects,
// and says whether that changed it.
func (f *File) Update(results []*Result) (changed bool, err error) {
	var edits []edit
	for _, r := range results {
		if r.Test.file == f {
			edits = append(edits, r.edits...)
		}
	}
	if len(edits) == 0 {
		return false, nil
	}
	slices.SortFunc(edits, func(a, b edit) int {
		if a.node.Line != b.node.Line {
			return b.node.Line - a.node.Line
		}
		return b.node.Column - a.node.Column
	})
	lines := strings.Split(string(f.Src), "\n")
	for _, e := range edits {
		lines = e.apply(lines)
	}
	return true, writeFile(f.Path, []byte(strings.Join(lines, "\n")))
}

// apply makes the edit in the lines of a file. Edits are made from the last to
// the first, so that positions stay true.
func (e *edit) apply(lines []string) []string {
	row, col := e.node.Line-1, byteOf(lines[e.node.Line-1], e.node.Column)
	if e.node.Kind == yaml.SequenceNode && e.node.Style&yaml.FlowStyle == 0 {
		return e.block(lines, row, col)
	}
	end := len(e.node.Value)
	text := lines[row][col:]
	last := row
	if e.node.Kind == yaml.SequenceNode {
		for end = flowEnd(text); end < 0 && last+1 < len(lines); end = flowEnd(text) {
			last++
			text += "\n" + lines[last]
		}
	}
	if end < 0 || end > len(text) {
		return lines
	}
	list := nothing
	if len(e.list) > 0 {
		list = "[" + strings.Join(e.list, ", ") + "]"
	}
	return slices.Replace(lines, row, last+1, strings.Split(lines[row][:col]+list+text[end:], "\n")...)
}

// block replaces a list of which each entry begins with "- " at col.
func (e *edit) block(lines []string, row, col int) []string {
	indent := strings.Repeat(" ", col)
	end := row + 1
	for ; end < len(lines); end++ {
		text := lines[end]
		inside := len(text) - len(strings.TrimLeft(text, " "))
		if strings.TrimSpace(text) != "" && inside <= col && !strings.HasPrefix(text, indent+"- ") {
			break
		}
	}
	for end > row+1 && strings.TrimSpace(lines[end-1]) == "" {
		end-- // blank lines belong to what follows
	}
	var list []string
	for _, r := range e.list {
		list = append(list, indent+"- "+r)
	}
	if list == nil {
		list = []string{indent + "[]"}
	}
	return slices.Replace(lines, row, end, list...)
}

// byteOf is the byte at which a column begins, which counts characters.
func byteOf(line string, column int) int {
	n := 1
	for i := range line {
		if n == column {
			return i
		}
		n++
	}
	return len(line)
}

// flowEnd is the byte behind the list that text begins with; -1: it does not end.
func flowEnd(text string) int {
	depth, quote := 0, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// yamlOf is a document in YAML's flow style, with the fields of the first
// level that are named; nil: with all.
func yamlOf(doc []byte, fields []string) string {
	var b strings.Builder
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if !appendYAML(&b, dec, fields) {
		return string(appendText(nil, string(doc)))
	}
	return b.String()
}

// appendYAML writes the next value of a decoder, in the order of its keys.
func appendYAML(b *strings.Builder, dec *json.Decoder, fields []string) bool {
	token, err := dec.Token()
	if err != nil {
		return false
	}
	switch v := token.(type) {
	case json.Delim:
		b.WriteString(v.String())
		for n := 0; dec.More(); {
			var one strings.Builder
			keep := true
			if v == '{' {
				key, _ := dec.Token()
				name, _ := key.(string)
				keep = fields == nil || slices.Contains(fields, name)
				one.WriteString(yamlText(name) + ": ")
			}
			if !appendYAML(&one, dec, nil) {
				return false
			}
			if !keep {
				continue
			}
			if n++; n > 1 {
				b.WriteString(", ")
			}
			b.WriteString(one.String())
		}
		end, err := dec.Token()
		if err != nil {
			return false
		}
		b.WriteString(end.(json.Delim).String())
	case string:
		b.WriteString(yamlText(v))
	default:
		b.WriteString(render(v))
	}
	return true
}

var plainText = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// yamlText is a text as YAML has it, quoted unless it is a plain word.
func yamlText(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off":
	default:
		if plainText.MatchString(s) {
			return s
		}
	}
	return string(appendText(nil, s))
}
