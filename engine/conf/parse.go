package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Limits bound what a file may cost. A field that is zero takes its default.
type Limits struct {
	Bytes int // size of the file; default 1 MiB
	Depth int // nesting; default 64
	Nodes int // values and keys after aliases are expanded; default 100 000
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Depth == 0 {
		l.Depth = 64
	}
	if l.Nodes == 0 {
		l.Nodes = 100_000
	}
	return l
}

// Parse reads a file of one YAML document and returns its root, or nil when it cannot be read at all or breaks
// a limit. The tree has no aliases and no merge keys: both are expanded, within the limits. Duplicate keys, keys that are not
// text, custom tags and flow collections that split an expression are reported and mended, so that more problems can be found behind them;
// a caller therefore looks at diags, not at the result, to know whether the file is right.
func Parse(file string, src []byte, limits Limits, diags *diag.List) (root *yaml.Node) {
	limits = limits.withDefaults()
	at := func(line, col int) diag.Span {
		return diag.Span{File: file, Start: diag.Pos{Line: line, Col: col}}
	}
	scope := &Scope{File: file, Source: src, Diags: diags}
	if len(src) > limits.Bytes {
		scope.errorf(at(1, 1), fmt.Sprintf("the file has %d bytes, more than the limit of %d", len(src), limits.Bytes), "split it")
		return nil
	}
	if line, col, what := badByte(src); what != "" {
		scope.errorf(at(line, col), "the file is not text: "+what, "save it as UTF-8")
		return nil
	}
	var first, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(src))
	switch err := decode(dec, &first); {
	case errors.Is(err, io.EOF):
		scope.errorf(at(1, 1), "the file is empty", "write a YAML mapping")
		return nil
	case err != nil:
		scope.syntaxError(err)
		return nil
	}
	switch err := decode(dec, &second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		scope.syntaxError(err)
		return nil
	default:
		n := &second
		if len(n.Content) > 0 && n.Content[0].Line > 0 {
			n = n.Content[0]
		}
		scope.errorf(at(n.Line, n.Column), "the file has a second document", `remove the "---", or move what follows to a file of its own`)
		return nil
	}
	b := &builder{scope: scope, limits: limits, open: map[*yaml.Node]bool{}}
	root = b.build(&first, 0, "")
	if b.stopped {
		return nil
	}
	return root
}

// decode is Decode for a parser that panics on some malformed input.
func decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return dec.Decode(n)
}

// badByte finds the first byte that is not UTF-8 text.
func badByte(src []byte) (line, col int, what string) {
	line, col = 1, 1
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return line, col, fmt.Sprintf("byte 0x%02x is not UTF-8", src[i])
		case r == 0:
			return line, col, "it has a NUL byte"
		case r == '\n':
			line, col = line+1, 0
		case r == '\ufeff' && i == 0:
			col = 0
		}
		col++
		i += n
	}
	return 0, 0, ""
}
