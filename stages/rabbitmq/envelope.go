package rabbitmq

import (
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// envelope is what came with one message. It holds what most messages have;
// the rest is made only for those that have any of it.
type envelope struct {
	exchange, key, id, contentType string
	headers                        amqp.Table
	rest                           *rest
	redelivered                    bool
}

// rest is what few messages have.
type rest struct {
	correlationID, replyTo, expiration, kind, appID, encoding, userID string

	timestamp time.Time
	priority  uint8
}

// envelopes is the Meta of the records of one batch.
type envelopes struct {
	seq      uint64 // of the first record
	list     []envelope
	consumer *consumer
}

var _ record.Meta = (*envelopes)(nil)

// add notes what came with a delivery.
func (e *envelopes) add(d *amqp.Delivery) {
	v := envelope{
		exchange: d.Exchange, key: d.RoutingKey, id: d.MessageId, contentType: d.ContentType,
		headers: d.Headers, redelivered: d.Redelivered,
	}
	if d.CorrelationId != "" || d.ReplyTo != "" || d.Expiration != "" || d.Type != "" || d.AppId != "" ||
		d.ContentEncoding != "" || d.UserId != "" || d.Priority != 0 || !d.Timestamp.IsZero() {
		v.rest = &rest{
			correlationID: d.CorrelationId, replyTo: d.ReplyTo, expiration: d.Expiration, kind: d.Type, appID: d.AppId,
			encoding: d.ContentEncoding, userID: d.UserId, timestamp: d.Timestamp, priority: d.Priority,
		}
	}
	e.list = append(e.list, v)
}

// of is what came with the record of a sequence number; nil when that is
// another batch's.
func (e *envelopes) of(seq uint64) *envelope {
	if seq < e.seq || seq-e.seq >= uint64(len(e.list)) {
		return nil
	}
	return &e.list[seq-e.seq]
}

const (
	countHeader  = "x-delivery-count"
	offsetHeader = "x-stream-offset"
)

// metaKeys is what Lookup knows.
func metaKeys() []stage.MetaKey {
	return []stage.MetaKey{
		{Name: "queue", Place: true, Doc: "The queue or stream that the message was read from."},
		{Name: "exchange", Doc: "The exchange that it was published to."},
		{Name: "routing_key", Doc: "Its routing key."},
		{Name: "redelivered", Doc: "Whether it was delivered before, to this consumer or another."},
		{Name: "delivery_count", Doc: "How often a quorum queue has delivered it before."},
		{Name: "offset", Doc: "Its offset in a stream."},
		{Name: "consumer_tag", Place: true, Doc: "The tag of the consumer."},
		{Name: "headers.*", Doc: "Its headers by their names, as in `meta.headers.tenant` or `meta.headers[\"x-try\"]`; `meta.headers` is all of them."},
		{Name: "message_id", Doc: "The id that its sender gave it; this and the following are properties of the message."},
		{Name: "correlation_id", Doc: "What it is an answer to."},
		{Name: "content_type", Doc: "The MIME type of its body."},
		{Name: "content_encoding", Doc: "How its body is encoded, gzip for example."},
		{Name: "type", Doc: "Its type, in words of the sender."},
		{Name: "app_id", Doc: "The application that sent it."},
		{Name: "user_id", Doc: "The user that sent it, which the broker has checked."},
		{Name: "reply_to", Doc: "Where an answer should go."},
		{Name: "timestamp", Doc: "The time that its sender gave it, as text."},
		{Name: "expiration", Doc: "How long it might have waited in the queue, in milliseconds."},
		{Name: "priority", Doc: "Its priority, when that is above 0."},
	}
}

// Lookup knows the names of [metaKeys].
func (e *envelopes) Lookup(path record.Path, seq uint64) record.Value {
	v := e.of(seq)
	if v == nil || len(path) == 0 {
		return record.Value{}
	}
	if path[0].Key == "headers" {
		return header(v.headers, path[1:])
	}
	if len(path) > 1 {
		return record.Value{}
	}
	switch path[0].Key {
	case "queue":
		return record.StringValue(e.consumer.queue)
	case "consumer_tag":
		return record.StringValue(e.consumer.tag)
	case "routing_key":
		return record.StringValue(v.key)
	case "exchange":
		return record.StringValue(v.exchange)
	case "redelivered":
		return record.BoolValue(v.redelivered)
	case "delivery_count":
		return header(v.headers, record.Path{{Key: countHeader}})
	case "offset":
		return header(v.headers, record.Path{{Key: offsetHeader}})
	case "message_id":
		return text(v.id)
	case "content_type":
		return text(v.contentType)
	}
	return v.rest.lookup(path[0].Key)
}

// lookup is a property by its name. r may be nil.
func (r *rest) lookup(name string) record.Value {
	if r == nil {
		return record.Value{}
	}
	switch name {
	case "correlation_id":
		return text(r.correlationID)
	case "reply_to":
		return text(r.replyTo)
	case "expiration":
		if ms, err := strconv.ParseInt(r.expiration, 10, 64); err == nil {
			return record.IntValue(ms)
		}
		return text(r.expiration)
	case "type":
		return text(r.kind)
	case "app_id":
		return text(r.appID)
	case "content_encoding":
		return text(r.encoding)
	case "user_id":
		return text(r.userID)
	case "priority":
		if r.priority > 0 {
			return record.IntValue(int64(r.priority))
		}
	case "timestamp":
		if !r.timestamp.IsZero() {
			return record.StringValue(record.FormatTime(r.timestamp.UnixNano()))
		}
	}
	return record.Value{}
}

// text is a property, missing when the message has none.
func text(s string) record.Value {
	if s == "" {
		return record.Value{}
	}
	return fromAMQP(s)
}

// header is a header, or what is inside of one; without a name all of them.
func header(t amqp.Table, path record.Path) record.Value {
	if len(path) == 0 {
		return fromAMQP(t)
	}
	x, ok := t[path[0].Key]
	if !ok || path[0].List {
		return record.Value{}
	}
	v := fromAMQP(x)
	if len(path) == 1 {
		return v
	}
	if v.JSON() == "" {
		return record.Value{}
	}
	return record.ProjectValue(v.JSON(), path[1:])
}
