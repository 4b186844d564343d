package process

import "github.com/telluride-stream/telluride/engine/record"

// elements appends the elements of a List to dst, at most limit of them. They
// alias its text, which must be valid JSON, as that of every List is.
func elements(dst []record.Value, list record.Value, limit int) []record.Value {
	text := list.JSON()
	from, depth := -1, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			if depth == 1 && from < 0 {
				from = i
			}
			i = closing(text, i)
		case '[', '{':
			if depth == 1 && from < 0 {
				from = i
			}
			depth++
		case ']', '}', ',':
			if c != ',' {
				depth--
			}
			if from >= 0 && (c == ',' && depth == 1 || depth == 0) {
				if len(dst) >= limit {
					return dst
				}
				dst = append(dst, record.ProjectValue(text[from:i], nil))
				from = -1
			}
		case ' ', '\t', '\n', '\r':
		default:
			if depth == 1 && from < 0 {
				from = i
			}
		}
	}
	return dst
}

// closing is the position of the quote that ends the string that begins at i.
func closing(text string, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
