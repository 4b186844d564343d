package rabbitmq

import (
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
)

// configQueueConfig is the config queue as the flow file has it.
type configQueueConfig struct {
	target
	queue
	prefetch int
	receipts receiptsConfig
}

// receiptsConfig is where all receipts go.
type receiptsConfig struct {
	given         bool
	exchange, key string
}

// ConfigQueue is the kind `rabbitmq` among the feeds.
func ConfigQueue() stage.Kind {
	return stage.DefineFeed("rabbitmq",
		"Reads changes of the flow from a queue of RabbitMQ, and acknowledges each once it has been applied; one that is rejected goes to the queue's dead-letter exchange.",
		(*configQueueConfig).bind, buildConfigQueue).WithExample(`rabbitmq:
  url: "${RABBITMQ_URL:-amqp://guest:guest@localhost:5672/}"
  queue: broadway_config_queue
  declare:
    durable: true
    dead_letter: {exchange: sensor_events, routing_key: dlx_key, queue: dlx_queue}
  bind: [{exchange: sensor_events, type: direct, routing_key: sensor.config}]
`)
}

func (c *configQueueConfig) bind(f *conf.Fields) {
	c.target.bind(f)
	f.Text(&c.name, "queue", "", "The queue. A message is a JSON object of params, or a whole flow file. Give each message a message_id: one that is delivered again is then answered with its first receipt, and without an id it is a new change. The property reply_to names a queue for its receipt, which has the correlation_id of the message.").Required().NotEmpty()
	c.bindDeclare(f, "the queue")
	f.Int(&c.prefetch, "prefetch", 10, "How many messages may wait for their change at a time. They are applied in order.").Min(1).Max(1000)
	c.receipts.given = f.Object("receipts", "Where a copy of every receipt goes, beside the reply_to of each message.", func(f *conf.Fields) {
		f.String(&c.receipts.exchange, "exchange", "", "The exchange, which must be there; \"\" is the default exchange.").Required()
		f.String(&c.receipts.key, "routing_key", "", "The routing key. Default: the name of the flow.")
	}).Present()
	f.Check(c.check)
}

func (c *configQueueConfig) check() (message, advice string) {
	switch {
	case len(c.name.Value) > maxShort:
		return "queue: the name has more than 255 bytes", "shorten it"
	case c.kind == streams:
		return "a stream cannot be a config queue: nothing is ever taken from it", "use type: classic or quorum"
	case len(c.receipts.exchange) > maxShort || len(c.receipts.key) > maxShort:
		return "receipts: a name or routing key has more than 255 bytes", "shorten it"
	}
	return "", ""
}

func buildConfigQueue(c *configQueueConfig, b *stage.Builder) stage.FeedSpec {
	if c.declared && !c.dead.given {
		b.Diags.Add(diag.Diagnostic{
			Severity: diag.Warning, Span: b.Span,
			Message: b.Name + ": the queue has no dead_letter, so that the broker drops changes that are rejected",
			Advice:  "add dead_letter: {exchange: …} to declare",
		})
	}
	return stage.FeedSpec{
		New:  func(rt stage.Runtime) stage.Feed { return newConfigQueue(c, rt) },
		Text: c.name.Value,
	}
}
