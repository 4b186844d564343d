package rabbitmq

import (
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
)

const (
	classic = "classic"
	quorum  = "quorum"
	streams = "stream"
)

// queue is a queue as the flow file has it.
type queue struct {
	name     conf.Text
	declared bool // else it must be there
	declaration
	binds []binding
}

// declaration is how a queue is made.
type declaration struct {
	durable, autoDelete, exclusive bool
	kind                           string
	maxLength                      int64
	ttl                            time.Duration
	ttlGiven                       bool
	dead                           deadLetters
	extra                          amqp.Table
}

// deadLetters is where a queue sends what is rejected.
type deadLetters struct {
	given, keyGiven      bool
	exchange, key, queue string
}

// binding is an exchange and how the queue is bound to it.
type binding struct {
	exchange conf.Text
	kind     string
	key      string
	durable  bool
	declare  bool
	extra    amqp.Table
}

const passive = "passive"

var exchangeTypes = []string{"direct", "fanout", "topic", "headers", "x-consistent-hash"}

// bindDeclare declares the keys declare and bind.
func (q *queue) bindDeclare(f *conf.Fields, used string) {
	var whole *yaml.Node
	if !f.Describing() {
		f.Node(&whole, "declare", "")
	}
	isPassive := whole != nil && whole.Kind == yaml.ScalarNode && whole.Value == passive
	o := f.Object("declare", "Makes the queue when it is not there. A queue that is there must be exactly like this. `passive`, or without this key: the queue must be there.", func(f *conf.Fields) {
		if isPassive {
			f.Whole(&whole, "")
			return
		}
		q.bind(f)
	})
	q.declared = o.Present() && !isPassive
	o.Schema(map[string]any{"anyOf": []any{
		map[string]any{"const": passive}, conf.Describe(new(declaration).bind).Schema(),
	}})
	conf.Objects(f, "bind", "Makes exchanges, and binds "+used+" to them.", &q.binds, (*binding).bind)
}

func (d *declaration) bind(f *conf.Fields) {
	f.Bool(&d.durable, "durable", true, "The queue survives a restart of the broker.")
	f.Bool(&d.autoDelete, "auto_delete", false, "The broker deletes the queue when its last consumer has gone.")
	f.Bool(&d.exclusive, "exclusive", false, "Only this connection may use the queue, and the queue goes with it: what is in it is lost with the connection.")
	f.Enum(&d.kind, "type", "", []string{classic, quorum, streams}, "classic, quorum (replicated) or stream (a log that is read by offset). By default the broker decides, which makes it classic unless the vhost says otherwise.")
	f.Int64(&d.maxLength, "max_length", 0, "The most messages that the queue holds; the broker drops or dead-letters the oldest ones beyond it. 0: no bound. (`arguments: {x-overflow: reject-publish}` refuses new ones instead.)").Min(0).Optional()
	d.ttlGiven = f.Duration(&d.ttl, "message_ttl", 0, "How long a message may wait in the queue before it is dropped or dead-lettered.").Optional().Given()
	d.dead.given = f.Object("dead_letter", "Where the queue sends the messages that are rejected, expire or exceed its length.", d.dead.bind).Present()
	bindArguments(f, &d.extra, "arguments", "Further arguments of the queue, such as `{x-max-priority: 10}`, with the types that YAML gives them.")
	f.Check(d.check)
}

func (d *deadLetters) bind(f *conf.Fields) {
	f.String(&d.exchange, "exchange", "", "The exchange that takes them; \"\" is the default exchange. It must be there, or be made by `bind`.").Required()
	d.keyGiven = f.String(&d.key, "routing_key", "", "Their routing key. Default: the one that they came with.").Given()
	f.String(&d.queue, "queue", "", "A durable queue that is made to keep them and bound to the exchange with the routing key, so that they are not lost. Without it, something else must bind a queue.")
	f.Check(func() (message, advice string) {
		switch {
		case d.queue != "" && !d.keyGiven:
			return "queue needs routing_key: the queue is bound by it", "add routing_key"
		case d.queue != "" && d.exchange == "" && d.key != d.queue:
			return "the default exchange routes by the names of queues", fmt.Sprintf("set routing_key: %s", d.queue)
		case d.exchange == "" && !d.keyGiven:
			return "the default exchange would send them to the queue that they come from", "add routing_key: the name of a queue"
		}
		return "", ""
	})
}

func (d *declaration) check() (message, advice string) {
	replicated := d.kind == quorum || d.kind == streams
	switch {
	case replicated && (!d.durable || d.autoDelete || d.exclusive):
		return "a " + d.kind + " queue is durable and belongs to nobody", "remove durable: false, auto_delete and exclusive, or use type: classic"
	case d.kind == streams && d.dead.given:
		return "a stream rejects nothing, so that it has no dead letters", "remove dead_letter"
	case d.kind == streams && d.maxLength > 0:
		return "a stream is not bounded by max_length", "use arguments: {x-max-length-bytes: 1000000000}"
	case d.kind == streams && d.ttlGiven:
		return "a stream has no message_ttl", "use arguments: {x-max-age: 7D}"
	}
	for _, own := range []struct{ name, key string }{
		{"x-queue-type", "type"}, {"x-max-length", "max_length"}, {"x-message-ttl", "message_ttl"},
		{"x-dead-letter-exchange", "dead_letter.exchange"}, {"x-dead-letter-routing-key", "dead_letter.routing_key"},
	} {
		if _, ok := d.extra[own.name]; ok {
			return "arguments: " + own.name + " has a key of its own", "use " + own.key
		}
	}
	return "", ""
}

// arguments are those of the queue, all together.
func (d *declaration) arguments() amqp.Table {
	t := amqp.Table{}
	for k, v := range d.extra {
		t[k] = v
	}
	if d.kind != "" {
		t["x-queue-type"] = d.kind
	}
	if d.maxLength > 0 {
		t["x-max-length"] = d.maxLength
	}
	if d.ttlGiven {
		t["x-message-ttl"] = d.ttl.Milliseconds()
	}
	if d.dead.given {
		t["x-dead-letter-exchange"] = d.dead.exchange
		if d.dead.keyGiven {
			t["x-dead-letter-routing-key"] = d.dead.key
		}
	}
	return t
}

func (b *binding) bind(f *conf.Fields) {
	f.Text(&b.exchange, "exchange", "", "The exchange.").Required().NotEmpty()
	f.Enum(&b.kind, "type", "direct", exchangeTypes, "The exchange's type. x-consistent-hash needs the broker's plug-in of that name; its routing keys are weights.")
	f.String(&b.key, "routing_key", "", "The key by which messages come to the queue: exactly for direct, with * and # for topic, not used by fanout and headers.")
	f.Bool(&b.durable, "durable", true, "The exchange survives a restart of the broker.")
	f.Bool(&b.declare, "declare", true, "Makes the exchange. false: it must be there, of whatever type.")
	bindArguments(f, &b.extra, "arguments", "Arguments of the binding: for a headers exchange those that must match, such as `{x-match: all, kind: reading}`.")
	f.Check(func() (message, advice string) {
		switch {
		case strings.HasPrefix(b.exchange.Value, "amq.") && !b.durable:
			return "an exchange of the broker itself is durable", "remove durable: false"
		case len(b.exchange.Value) > maxShort || len(b.key) > maxShort:
			return "a name or routing key has more than 255 bytes", "shorten it"
		}
		return "", ""
	})
}
