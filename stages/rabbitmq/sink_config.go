package rabbitmq

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

const (
	unroutableRetry = "retry"
	unroutableDead  = "dead"
)

// forwardable are the properties that can go on as they came.
var forwardable = []string{
	"headers", "message_id", "correlation_id", "reply_to", "content_type", "content_encoding",
	"type", "app_id", "timestamp", "priority", "expiration",
}

// sinkConfig is the sink as the flow file has it.
type sinkConfig struct {
	target
	queue        // made and checked by the sink; without a name there is none
	exchange     conf.Text
	exchangeType string
	exchangeSure bool // durable

	persistent, mandatory bool
	unroutable            string
	inFlight              int
	confirmTimeout        time.Duration

	texts   map[string]*conf.Text
	headers []conf.Pair
	forward []string

	message messageTemplate
	timed   bool // some expression may ask for the time
	opened  *atomic.Bool
}

// properties are the keys that are templates, and their meanings.
var properties = []struct{ key, doc string }{
	{"routing_key", "The routing key. It may hold expressions: \"sensor.{{ line_id }}\". A record for which one of them has no value is a dead letter. Default: \"\", or the queue."},
	{"message_id", "The id by which consumers can tell a message that was sent twice. Default: `meta.message_id` of the record, which the results of windows have, and messages that came with one; else none."},
	{"correlation_id", "The correlation id."},
	{"reply_to", "The address to reply to."},
	{"expiration", "How long the message may wait in a queue: \"30s\", or an expression for a number of milliseconds or such a text."},
	{"priority", "The priority, 0 to 255, of a queue with x-max-priority."},
	{"content_type", "The content type. Default: application/json."},
	{"content_encoding", "The content encoding."},
	{"type", "The name of the message's type."},
	{"app_id", "The id of the sending application."},
	{"timestamp", "The time of the message, to the second: \"{{ timestamp }}\", \"{{ now() }}\". Texts in RFC 3339 and numbers since 1970 are times."},
}

// Sink is the kind `rabbitmq` among the sinks.
func Sink() stage.Kind {
	return stage.DefineSink("rabbitmq",
		"Publishes records to an exchange or queue of RabbitMQ, each of them confirmed by the broker.",
		(*sinkConfig).bind, buildSink).WithExample(`rabbitmq:
  url: "${RABBITMQ_URL:-amqp://guest:guest@localhost:5672/}"
  exchange: sensor_events
  exchange_type: direct
  routing_key: "sensor.{{ line_id }}"
`)
}

func (c *sinkConfig) bind(f *conf.Fields) {
	c.opened = new(atomic.Bool)
	c.target.bind(f)
	f.Text(&c.exchange, "exchange", "", "The exchange. \"\" is the default exchange, which routes by the names of queues.")
	f.Enum(&c.exchangeType, "exchange_type", "", exchangeTypes, "Makes the exchange, of this type. Without it, the exchange must be there, or be made by `bind`.")
	f.Bool(&c.exchangeSure, "exchange_durable", true, "The exchange that is made survives a restart of the broker.")
	f.Text(&c.name, "queue", "", "The queue to publish to by the default exchange, instead of exchange and routing_key; or, beside an exchange, a queue that the sink makes and binds.")
	c.bindDeclare(f, "the queue")
	c.texts = map[string]*conf.Text{}
	for _, p := range properties {
		t := new(conf.Text)
		c.texts[p.key] = t
		f.Text(t, p.key, "", p.doc)
	}
	f.StringMap(&c.headers, "headers", "Headers, by name. A value that is one expression alone, such as \"{{ reading }}\", keeps its type; everything else is text.")
	f.Strings(&c.forward, "forward", nil, "What goes on as it came, of a record that came from RabbitMQ: "+strings.Join(forwardable, ", ")+". A key of its own replaces what came. Headers that the broker adds itself (x-death and the like) do not go on.")
	f.Bool(&c.persistent, "persistent", true, "Messages in durable queues survive a restart of the broker.")
	f.Bool(&c.mandatory, "mandatory", true, "A message for which the exchange finds no queue comes back. false: the broker drops it without a word.")
	f.Enum(&c.unroutable, "unroutable", unroutableRetry, []string{unroutableRetry, unroutableDead}, "What becomes of a message that came back. retry: it is sent again, with growing pauses, until a queue is bound for it or the sink's deadline has passed. dead: it is a dead letter.")
	f.Int(&c.inFlight, "max_in_flight", 2048, "How many messages may wait for their confirmation at a time.").Min(1).Max(1 << 20)
	f.Duration(&c.confirmTimeout, "confirm_timeout", 30*time.Second, "After this long without any confirmation the sink counts as failing, and its deadline begins. What is confirmed later still counts.").Min(time.Second)
	f.Check(c.check)
}

func (c *sinkConfig) check() (message, advice string) {
	key := c.texts["routing_key"].Value
	switch {
	case c.exchange.Value == "" && c.name.Value == "" && key == "":
		return "nothing says where to publish", "add exchange and routing_key, or queue"
	case c.name.Value == "" && (c.declared || len(c.binds) > 0):
		return "declare and bind are for a queue", "add queue, or exchange_type to make the exchange"
	case c.exchange.Value == "" && c.name.Value != "" && key != "" && key != c.name.Value:
		return "queue says where to publish, and so does routing_key", "remove one of them, or add exchange"
	case c.exchange.Value == "" && c.exchangeType != "":
		return "exchange_type is for an exchange", "add exchange, or remove exchange_type"
	case len(c.exchange.Value) > maxShort || len(c.name.Value) > maxShort:
		return "the name of an exchange or queue has more than 255 bytes", "shorten it"
	case c.unroutable == unroutableDead && !c.mandatory:
		return "unroutable: dead needs mandatory", "remove mandatory: false"
	}
	for _, p := range c.forward {
		if !slices.Contains(forwardable, p) {
			return fmt.Sprintf("forward: %q is no property", p), "use " + strings.Join(forwardable, ", ")
		}
	}
	return "", ""
}

func buildSink(c *sinkConfig, b *stage.Builder) stage.SinkSpec {
	c.message = c.templates(b)
	text := c.exchange.Value
	if text == "" {
		text = c.name.Value
	}
	if text == "" {
		text = c.texts["routing_key"].Value
	}
	spec := stage.SinkSpec{
		New:  func(rt stage.Runtime) stage.Sink { return newSink(c, rt) },
		Text: text,

		Messaging: &stage.Messaging{System: "rabbitmq", Destination: text},
	}
	switch key := c.message.key.fixed; {
	case c.name.Value != "":
		spec.Letters = c.letters(c.name.Value)
	case c.exchange.Value == "" && key != "":
		spec.Letters = c.letters(key)
	}
	return spec
}

// templates compiles what the messages are made by.
func (c *sinkConfig) templates(b *stage.Builder) messageTemplate {
	m := messageTemplate{opaque: b.Opaque, mode: amqp.Transient, forward: map[string]bool{}}
	if c.persistent {
		m.mode = amqp.Persistent
	}
	given := func(key string) template { return parseTemplate(b, key, *c.texts[key]) }
	m.key, m.id, m.correlation, m.replyTo = given("routing_key"), given("message_id"), given("correlation_id"), given("reply_to")
	m.expiration, m.priority, m.timestamp = given("expiration"), given("priority"), given("timestamp")
	m.contentType, m.encoding, m.kind, m.app = given("content_type"), given("content_encoding"), given("type"), given("app_id")
	if m.key.empty() && c.exchange.Value == "" {
		m.key.fixed = c.name.Value
	}
	for _, p := range c.forward {
		m.forward[p] = true
	}
	if m.contentType.empty() && !m.forward["content_type"] {
		m.contentType.fixed = "application/json"
	}
	for _, h := range c.headers {
		t := parseTemplate(b, "headers: "+h.Key.Value, h.Value)
		if len(h.Key.Value) > maxShort {
			b.Errorf(h.Key.Span, "%s: headers: a name has more than 255 bytes", b.Name)
		}
		m.headers = append(m.headers, headerTemplate{h.Key.Value, t})
		m.traced = m.traced || h.Key.Value == parentHeader || h.Key.Value == stateHeader
	}
	for _, t := range []*template{&m.key, &m.id, &m.correlation, &m.replyTo, &m.contentType, &m.encoding, &m.kind, &m.app} {
		if len(t.fixed) > maxShort {
			b.Errorf(c.texts[t.name].Span, "%s: %s has more than 255 bytes", b.Name, t.name)
		}
	}
	if _, err := lifetime(record.StringValue(m.expiration.fixed)); m.expiration.fixed != "" && err != nil {
		b.Errorf(c.texts["expiration"].Span, "%s: expiration: %v", b.Name, err)
	}
	if p := m.priority.fixed; p != "" {
		if _, err := strconv.ParseUint(p, 10, 8); err != nil {
			b.Errorf(c.texts["priority"].Span, "%s: priority: %q is not a whole number from 0 to 255", b.Name, p)
		}
	}
	if m.timestamp.fixed != "" {
		b.Errorf(c.texts["timestamp"].Span, `%s: timestamp: %q is the same for every message; write an expression, such as "{{ now() }}"`, b.Name, m.timestamp.fixed)
	}
	c.timed = slices.ContainsFunc(slices.Collect(maps.Values(c.texts)), func(t *conf.Text) bool { return strings.Contains(t.Value, opening) }) ||
		slices.ContainsFunc(c.headers, func(p conf.Pair) bool { return strings.Contains(p.Value.Value, opening) })
	return m
}
