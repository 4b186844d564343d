package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

// paramNamed finds the params that an expression names.
var paramNamed = regexp.MustCompile(`\bparams\.(\w+)`)

// signature is a hash of a kind and its configuration with every ${…}
// replaced, and the values of the params that it names otherwise, whatever
// its position, comments and style in the file.
func (c *compiler) signature(kind string, n *yaml.Node) string {
	quiet := conf.Scope{File: c.scope.File, Env: c.scope.Env, Params: c.scope.Params, Diags: &diag.List{}, Uses: map[string][]diag.Span{}}
	h := sha256.New()
	fmt.Fprint(h, kind)
	c.hashNode(h, &quiet, n)
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func (c *compiler) hashNode(w io.Writer, scope *conf.Scope, n *yaml.Node) {
	value := n.Value
	if expanded, ok := scope.Expand(n.Value, diag.Span{}, ""); ok {
		value = expanded.Value
	}
	fmt.Fprintf(w, "\x00%d %d %d %s", n.Kind, len(n.Content), len(value), value)
	for _, name := range paramNamed.FindAllStringSubmatch(value, -1) {
		text := c.params[name[1]].Text()
		fmt.Fprintf(w, "\x00%d %s", len(text), text)
	}
	for _, child := range n.Content {
		c.hashNode(w, scope, child)
	}
}
