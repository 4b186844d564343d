package flowtest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// render is a value as JSON, with sorted keys.
func render(v any) string {
	if _, none := v.(absent); none {
		return "nothing"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return "?"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// oneLine is a document on a line; what is no JSON is quoted.
func oneLine(doc []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, doc) == nil {
		return b.String()
	}
	return strconv.Quote(string(doc))
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// top is the field of the record in which a path begins.
func top(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}
