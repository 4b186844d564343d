package flowtest

import (
	"encoding/json"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"
)

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// json is a value of the file as JSON. Numbers keep their digits, keys their
// order. What YAML takes for a time is text.
func (f *File) json(n *yaml.Node) []byte { return f.appendJSON(nil, n) }

func (f *File) appendJSON(dst []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		dst = append(dst, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, n.Content[i].Value), ':')
			dst = f.appendJSON(dst, n.Content[i+1])
		}
		return append(dst, '}')
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, item := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = f.appendJSON(dst, item)
		}
		return append(dst, ']')
	}
	return f.appendScalar(dst, n)
}

func (f *File) appendScalar(dst []byte, n *yaml.Node) []byte {
	switch n.ShortTag() {
	case "!!null":
		return append(dst, "null"...)
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return strconv.AppendBool(dst, b)
		}
	case "!!int", "!!float":
		if jsonNumber.MatchString(n.Value) {
			return append(dst, n.Value...)
		}
		var x any
		if n.Decode(&x) == nil {
			if text, err := json.Marshal(x); err == nil {
				return append(dst, text...)
			}
		}
		f.fail(n, "a record cannot hold "+n.Value, "quote it if it is a text")
		return append(dst, "null"...)
	}
	return appendText(dst, n.Value)
}

func appendText(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string can be encoded
	return append(dst, text...)
}
