package change

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/diag"
)

// member is one member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
	at    int // the offset of the value
}

// kind is what a value is: object, list, text, number, bool or null.
func (m member) kind() string {
	switch m.value[0] {
	case '{':
		return "object"
	case '[':
		return "list"
	case '"':
		return "text"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// message is a JSON message on its way to a change.
type message struct {
	text     []byte
	problems *diag.List
}

func parseJSON(c *Change, text []byte, problems *diag.List) {
	m := message{text, problems}
	if !m.sound() {
		return
	}
	all, ok := m.members(text, 0, "the message")
	if !ok {
		return
	}
	is := func(name, kind string) bool {
		return slices.ContainsFunc(all, func(m member) bool { return m.name == name && m.kind() == kind })
	}
	switch {
	case slices.ContainsFunc(all, func(m member) bool {
		return isSource(m.name) && (m.kind() == "object" || m.kind() == "list")
	}):
		parseFile(c, text, problems) // JSON is YAML
	case is("params", "object") || is("unset", "list"):
		m.envelope(c, all)
	default:
		c.Set, c.Types = m.params(all, "")
	}
	problems.Sort()
	if !problems.HasErrors() && c.Source == nil && len(c.Set) == 0 && len(c.Unset) == 0 {
		m.fail(0, "the message changes nothing", `name the params to set, such as {"limit": 5}`)
	}
}

var envelopeKeys = []string{"params", "unset", "base_version"}

// envelope reads the long form.
func (m message) envelope(c *Change, all []member) {
	for _, one := range all {
		switch {
		case one.name == "params" && one.kind() == "object":
			if inner, ok := m.members(one.value, one.at, "params"); ok {
				c.Set, c.Types = m.params(inner, "params: ")
			}
		case one.name == "unset" && one.kind() == "list":
			if err := json.Unmarshal(one.value, &c.Unset); err != nil {
				m.fail(one.at, "unset: expected a list of names of params", `write "unset": ["limit"]`)
			}
		case one.name == "base_version" && one.kind() == "text":
			_ = json.Unmarshal(one.value, &c.BaseVersion) // the decoder took it
		case slices.Contains(envelopeKeys, one.name):
			want := map[string]string{"params": "an object", "unset": "a list", "base_version": "a text"}[one.name]
			m.fail(one.at, fmt.Sprintf("%s: expected %s, got %s", one.name, want, shown(one)), "")
		default:
			advice := "known: " + strings.Join(envelopeKeys, ", ") + "; params to set stand inside of params"
			if near := diag.Suggest(one.name, envelopeKeys); near != "" {
				advice = fmt.Sprintf("did you mean %q?", near)
			}
			m.fail(one.at, fmt.Sprintf("unknown key %q", one.name), advice)
		}
	}
	for _, name := range c.Unset {
		if _, ok := c.Set[name]; ok {
			m.fail(0, fmt.Sprintf("param %q is both set and unset", name), "leave it out of one of them")
		}
	}
}

// params are the values of params in the form that a flow file has them.
func (m message) params(all []member, context string) (set, types map[string]string) {
	set, types = map[string]string{}, map[string]string{}
	for _, one := range all {
		switch kind := one.kind(); kind {
		case "number", "bool":
			set[one.name], types[one.name] = string(one.value), kind
		case "text":
			var s string
			_ = json.Unmarshal(one.value, &s) // the decoder took it
			set[one.name], types[one.name] = s, kind
		default:
			advice := "a param is a text, a number, true or false"
			if kind == "null" {
				advice = fmt.Sprintf(`to leave it to its default again, send {"unset": [%q]}`, one.name)
			}
			m.fail(one.at, fmt.Sprintf("%sparam %q cannot be %s", context, one.name, shown(one)), advice)
		}
	}
	return set, types
}

func shown(m member) string {
	switch k := m.kind(); k {
	case "null":
		return k
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	default:
		return "a " + k
	}
}

// sound says whether the message is JSON, and adds a problem when it is not.
func (m message) sound() bool {
	if bad := firstBad(m.text); bad >= 0 {
		m.fail(bad, fmt.Sprintf("the message is not text: byte 0x%02x is not UTF-8", m.text[bad]), "send it as UTF-8")
		return false
	}
	var whole json.RawMessage
	err := json.Unmarshal(m.text, &whole)
	if err == nil {
		return true
	}
	where := len(m.text)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		where = max(0, int(syntax.Offset)-1)
	}
	m.fail(where, "the message is not valid JSON: "+err.Error(), "")
	return false
}

// members are those of an object that begins at an offset of the message,
// which is sound. ok is false, and a problem added, when it is no object.
func (m message) members(text []byte, base int, what string) (all []member, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		m.fail(base, what+" is no JSON object", `send params as {"name": value}`)
		return nil, false
	}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		var one member
		if err == nil {
			err = d.Decode(&one.value)
		}
		if err != nil { // it was sound before
			m.fail(base, what+" is not valid JSON: "+err.Error(), "")
			return nil, false
		}
		one.name = name.(string) // no other token stands before a value
		one.at = base + int(d.InputOffset()) - len(one.value)
		if seen[one.name] {
			m.fail(one.at, fmt.Sprintf("%s has %q twice", what, one.name), "leave one of them out")
			return nil, false
		}
		seen[one.name] = true
		all = append(all, one)
	}
	return all, true
}

func (m message) fail(offset int, message, advice string) {
	before := m.text[:min(offset, len(m.text))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	m.problems.Add(diag.Diagnostic{Span: diag.Span{Start: diag.Pos{Line: line, Col: column}}, Message: message, Advice: advice})
}

// firstBad is the offset of the first byte that is not UTF-8, -1 if none.
func firstBad(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
