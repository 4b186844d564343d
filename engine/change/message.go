package change

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

// maxMessage is the size that a message may have, in bytes: that of a flow file.
const maxMessage = 1 << 20

// Parse reads a message that asks for a change of a flow. It is one of:
//
//   - a JSON object of params to set: {"rate_limit_allowed": 500}
//   - a JSON object with params, unset and base_version:
//     {"params": {"lanes": 8}, "unset": ["rate_limit_allowed"], "base_version": "3f…"}
//   - a whole flow file, in YAML or JSON
//
// The content type decides between JSON and YAML where it says so; otherwise
// what begins with { is JSON. With errors in the list there is no change.
// Whether the params exist and take the values, only the compiler knows.
func Parse(flow string, body []byte, contentType string) (Change, diag.List) {
	c := Change{Flow: flow, From: "queue"}
	var problems diag.List
	switch text := bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")); {
	case len(body) > maxMessage:
		problems.Add(diag.Diagnostic{Message: fmt.Sprintf("the message has more than %d bytes", maxMessage), Advice: "a change of params needs only the params that change"})
	case len(bytes.TrimSpace(text)) == 0:
		problems.Add(diag.Diagnostic{Message: "the message is empty", Advice: `send params as JSON, such as {"limit": 5}, or a whole flow file`})
	case isJSON(text, contentType):
		parseJSON(&c, text, &problems)
	default:
		parseFile(&c, text, &problems)
	}
	if problems.HasErrors() {
		return Change{Flow: flow, From: "queue"}, problems
	}
	return c, problems
}

func isJSON(text []byte, contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	switch {
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return true
	case strings.HasSuffix(media, "yaml"):
		return false
	}
	return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))
}

// parseFile takes a flow file. It is left to the compiler to check it; here
// only what is no flow file at all is told apart.
func parseFile(c *Change, text []byte, problems *diag.List) {
	var found diag.List
	keys, ok := conf.Keys(conf.Parse("", text, conf.Limits{}, &found))
	isFlow := slices.ContainsFunc(keys, isSource)
	switch {
	case found.HasErrors():
		problems.Add(found...)
	case !ok || !isFlow:
		what := "it is no mapping"
		if ok {
			what = "it has no source"
		}
		problems.Add(diag.Diagnostic{
			Message: "the message is neither a JSON object nor a flow file: " + what,
			Advice:  `send params as JSON, such as {"limit": 5}, or a whole flow file`,
		})
	}
	if problems.HasErrors() {
		return
	}
	c.Source = text
}

func isSource(key string) bool { return key == "source" || key == "sources" }
