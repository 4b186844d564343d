package rabbitmq

import (
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// sourceConfig is the source as the flow file has it.
type sourceConfig struct {
	target
	queue
	consumers, prefetch int
	tag                 string
	priority            int
	exclusive           bool
	arguments           amqp.Table
	offset              conf.Text
	id                  conf.Expr

	ident  *ident
	stream bool // positions are offsets
	start  any  // offset as the broker takes it
	// opened says that there was a session: what is missing now was there.
	opened *atomic.Bool
}

// Source is the kind `rabbitmq` among the sources.
func Source() stage.Kind {
	return stage.DefineSource("rabbitmq",
		"Reads messages from a queue or stream of RabbitMQ, and acknowledges them once everything made of them is durable.",
		(*sourceConfig).bind, buildSource).WithExample(`rabbitmq:
  url: "${RABBITMQ_URL:-amqp://guest:guest@localhost:5672/}"
  queue: sensor_reading_queue
  declare:
    durable: true
    dead_letter: {exchange: sensor_events, routing_key: dlx_key, queue: dlx_queue}
  bind: [{exchange: sensor_events, type: direct, routing_key: sensor.reading}]
`).WithMeta(metaKeys()...)
}

func (c *sourceConfig) bind(f *conf.Fields) {
	c.opened = new(atomic.Bool)
	c.target.bind(f)
	f.Text(&c.name, "queue", "", "The queue or stream.").Required().NotEmpty()
	c.bindDeclare(f, "the queue")
	f.Int(&c.consumers, "consumers", 1, "How many consumers read the queue at a time, each on a channel of its own. Messages keep their order only with 1.").Min(1).Max(256)
	f.Int(&c.prefetch, "prefetch", 1000, "How many messages a consumer may hold that are not acknowledged yet. An epoch ends at half of all prefetches together; a batch or window in front of a sink must get along with what one epoch brings. What is held longer than the broker's consumer_timeout (30 minutes by default) loses the session.").Min(1)
	f.String(&c.tag, "tag", "", "The name of the consumer at the broker. Default: telluride/<flow>/<source>.")
	f.Int(&c.priority, "priority", 0, "The broker prefers consumers with a higher priority as long as they keep up.").Min(math.MinInt32).Max(math.MaxInt32)
	f.Bool(&c.exclusive, "exclusive", false, "No other consumer may read the queue meanwhile. A second one waits for the first to end.")
	bindArguments(f, &c.arguments, "arguments", "Further arguments of the consumers.")
	f.Text(&c.offset, "offset", "", "For a stream: where reading begins when the flow has no position yet: first, last (the last chunk), next (only what is new), an offset such as 1000, or a time such as 2026-01-01T00:00:00Z. Default: first. Given for a queue that is not declared here, it says that the queue is a stream.").NotEmpty()
	f.Expr(&c.id, "id", "What tells a message from all others of its queue, such as \"event_id\" or \"meta.headers.uuid\": state then counts a message that the broker delivers again only once. It is looked up for redelivered messages alone. A message for which it has no value may count twice. Default: the message_id that its sender gave it.").Optional()
	c.stream = c.kind == streams || c.offset.Value != ""
	f.Check(c.check)
}

func (c *sourceConfig) check() (message, advice string) {
	switch {
	case c.prefetch > math.MaxUint16:
		return fmt.Sprintf("prefetch %d is above 65535, the largest that the protocol can say", c.prefetch), "use 65535 or less, or more consumers"
	case len(c.name.Value) > maxShort:
		return "queue: the name has more than 255 bytes", "shorten it"
	case len(c.tag) > maxShort-4:
		return "tag has more than 251 bytes", "shorten it"
	case c.exclusive && c.consumers > 1:
		return "an exclusive consumer is alone", "set consumers: 1, or remove exclusive"
	case c.stream && c.consumers > 1:
		return "every consumer of a stream reads all of it", "set consumers: 1"
	case c.stream && c.id.Given():
		return "id is for queues: a stream has offsets, which tell what was counted", "remove id"
	case c.stream && c.declared && c.kind != streams:
		return "offset is for streams", "add type: stream to declare, or remove offset"
	}
	start, ok := c.startOffset()
	if !ok {
		return fmt.Sprintf("offset: %q is neither first, last, next, a number nor a time", c.offset.Value), "write an offset such as 1000, or a time such as 2026-01-01T00:00:00Z"
	}
	c.start = start
	return "", ""
}

// startOffset is the offset in the form that the broker takes.
func (c *sourceConfig) startOffset() (any, bool) {
	switch c.offset.Value {
	case "":
		return "first", true
	case "first", "last", "next":
		return c.offset.Value, true
	}
	if n, err := strconv.ParseInt(c.offset.Value, 10, 64); err == nil {
		return n, n >= 0
	}
	ns, err := record.ParseTime(record.StringValue(c.offset.Value), "rfc3339")
	return time.Unix(0, ns), err == nil
}

// consumerTimeout is the broker's consumer_timeout when nobody has changed it.
const consumerTimeout = 30 * time.Minute

// patience is for how long the broker waits for an acknowledgement: what the
// arguments of the queue and of its consumers say, else what is usual.
func (c *sourceConfig) patience() time.Duration {
	var shortest time.Duration
	for _, t := range []amqp.Table{c.extra, c.arguments} {
		ms, ok := t["x-consumer-timeout"].(int64)
		if d := time.Duration(ms) * time.Millisecond; ok && d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	if shortest == 0 {
		return consumerTimeout
	}
	return shortest
}

func buildSource(c *sourceConfig, b *stage.Builder) stage.SourceSpec {
	c.ident = newIdent(c.id, b)
	spec := stage.SourceSpec{
		New:       func(rt stage.Runtime) stage.Source { return newSource(c, rt) },
		Raw:       true,
		Prefetch:  c.consumers * c.prefetch,
		Patience:  c.patience(),
		Rejects:   !c.stream,
		Replay:    c.replay(c.name.Value),
		Unordered: c.consumers > 1,
		Sample:    func(rt stage.Runtime, most int) stage.Source { return newSample(c, rt, most) },
		Text:      c.name.Value,
		Messaging: &stage.Messaging{System: "rabbitmq", Destination: c.name.Value},
	}
	if c.dead.given {
		switch {
		case c.dead.queue != "":
			spec.Rejected = c.target.letters(c.dead.queue)
		case c.dead.exchange == "":
			spec.Rejected = c.target.letters(c.dead.key)
		}
	}
	switch {
	case c.stream:
	case !c.declared:
		spec.Drops = fmt.Sprintf("the broker drops what is rejected, unless queue %q has a dead-letter exchange", c.name.Value)
		spec.DropsAdvice = "declare the queue with dead_letter: {exchange: …}, or add dead_letter: with a sink to the flow"
	case !c.dead.given:
		spec.Drops = fmt.Sprintf("queue %q has no dead_letter, so that the broker drops what is rejected", c.name.Value)
		spec.DropsAdvice = "add dead_letter: {exchange: …} to declare, or dead_letter: with a sink to the flow"
	}
	return spec
}
