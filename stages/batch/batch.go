// Package batch groups records by number, size and age.
//
// It knows the contracts of engine/stage, and neither the engine's runtime
// nor other stages.
package batch

import (
	"fmt"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/stage"
)

type config struct {
	size    int
	bytes   int64
	timeout time.Duration
	by      []conf.Text
	as      string
	format  string
}

// Stage is the declaration of the stage.
func Stage() stage.Kind {
	return stage.DefineStage("batch", "Groups records by number, size and age.", (*config).bind, (*config).build).
		WithExample(`batch: {size: 100, timeout: 1s}`).
		WithMeta(stage.MetaKey{Name: "count", Doc: "Of a message, with `as: message`: the number of its records."})
}

const (
	asRecords = "records"
	asMessage = "message"

	jsonArray = "json_array"
	ndjson    = "ndjson"
)

func (c *config) bind(f *conf.Fields) {
	f.Int(&c.size, "size", 100, "A group goes out when it has this many records.").Min(1).Max(1_000_000)
	f.Size(&c.bytes, "bytes", 1<<20, "A group goes out before it gets larger than this, counted in the JSON of its records; 0: there is no bound. "+
		"A single record that is larger goes out alone.").Min(0)
	f.Duration(&c.timeout, "timeout", time.Second, "A group goes out when its first record has waited this long, by the clock.").Min(time.Millisecond)
	f.Paths(&c.by, "by", "Makes a group for each value of a field, an expression, or several of them. Without it, each lane makes one group at a time.")
	f.Enum(&c.as, "as", asRecords, []string{asRecords, asMessage}, "What a group becomes: `records` go on as they came, one behind the other; "+
		"`message` makes one message of them, which only sinks may follow.")
	f.Enum(&c.format, "format", jsonArray, []string{jsonArray, ndjson}, "How a message is written: `json_array` is a list of objects, `ndjson` an object a line.")
	f.Check(func() (string, string) {
		if c.as == asRecords && f.Given("format") {
			return "format is for messages, but the records go on by themselves", "add as: message, or remove format"
		}
		return "", ""
	})
}

func (c *config) build(b *stage.Builder) stage.OperatorSpec {
	if c.by != nil {
		b.KeyBy(c.by)
	}
	keyed, message := len(c.by) > 0, c.as == asMessage
	if message {
		b.Schema = &expr.Schema{} // nothing can be read of a message
	}
	settings := *c
	return stage.OperatorSpec{
		New: func() stage.Operator {
			if message {
				return newMessages(&settings, keyed)
			}
			return newRecords(&settings, keyed)
		},
		Holds:   true,
		Group:   c.size,
		Wait:    c.timeout,
		Makes:   message,
		Opaque:  message,
		Ordered: message, // records are let go in the order in which they came
		Timer:   min(max(c.timeout/10, time.Millisecond), 100*time.Millisecond),
		Text:    c.text(),
	}
}

// text is the stage in a few words: "100 records, 1MiB or 1s, by line_id, as json_array".
func (c *config) text() string {
	text := fmt.Sprintf("%d records", c.size)
	if c.bytes > 0 {
		text += ", " + conf.FormatSize(c.bytes)
	}
	text += " or " + conf.FormatDuration(c.timeout)
	if len(c.by) > 0 {
		names := make([]string, len(c.by))
		for i, t := range c.by {
			names[i] = t.Value
		}
		text += ", by " + strings.Join(names, ", ")
	}
	if c.as == asMessage {
		text += ", as " + c.format
	}
	return text
}
