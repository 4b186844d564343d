package rabbitmq

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
)

var _ record.Describer = (*envelopes)(nil)

// AppendMeta writes what came with a message. Headers are written as
// expressions see them. header_types has, by JSON pointer, the AMQP type of
// each value whose type JSON does not tell; so a message can be published
// again exactly as it came.
func (e *envelopes) AppendMeta(dst []byte, seq uint64) []byte {
	v := e.of(seq)
	if v == nil {
		return append(dst, "{}"...)
	}
	o := object{dst: append(dst, '{')}
	o.text("queue", e.consumer.queue)
	o.value("exchange", record.StringValue(v.exchange))
	o.value("routing_key", record.StringValue(v.key))
	o.value("redelivered", record.BoolValue(v.redelivered))
	o.value("delivery_count", header(v.headers, record.Path{{Key: countHeader}}))
	o.value("offset", header(v.headers, record.Path{{Key: offsetHeader}}))
	o.text("consumer_tag", e.consumer.tag)
	v.properties(&o)
	return append(o.dst, '}')
}

// properties writes the properties of a message, and its headers.
func (v *envelope) properties(o *object) {
	o.text("message_id", v.id)
	o.text("content_type", v.contentType)
	for _, name := range []string{
		"correlation_id", "content_encoding", "type", "app_id", "user_id", "reply_to", "timestamp", "expiration", "priority",
	} {
		o.value(name, v.rest.lookup(name))
	}
	if len(v.headers) == 0 {
		return
	}
	w := headerWriter{}
	o.raw("headers", w.table(nil, v.headers, ""))
	if w.types.n > 0 {
		o.raw("header_types", append(append([]byte{'{'}, w.types.dst...), '}'))
	}
}

// object writes the fields of a JSON object that have a value.
type object struct {
	dst []byte
	n   int
}

func (o *object) key(name string) {
	if o.n++; o.n > 1 {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(record.AppendValue(o.dst, record.StringValue(name)), ':')
}

func (o *object) value(name string, v record.Value) {
	if v.Kind() != record.Missing {
		o.key(name)
		o.dst = record.AppendValue(o.dst, v)
	}
}

func (o *object) text(name, s string) { o.value(name, text(s)) }

func (o *object) raw(name string, json []byte) {
	o.key(name)
	o.dst = append(o.dst, json...)
}

// decimalType stands in front of the scale of a decimal.
const decimalType = "decimal/"

// headerWriter writes headers, and notes the types that JSON does not have.
type headerWriter struct{ types object }

func (w *headerWriter) table(dst []byte, t amqp.Table, at string) []byte {
	o := object{dst: append(dst, '{')}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		o.key(name)
		o.dst = w.field(o.dst, t[name], at+"/"+pointerEscape.Replace(name))
	}
	return append(o.dst, '}')
}

// pointerEscape is for names in a JSON pointer (RFC 6901).
var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

func (w *headerWriter) field(dst []byte, x any, at string) []byte {
	typed := func(name string, v record.Value) []byte {
		w.types.value(at, record.StringValue(name))
		return record.AppendValue(dst, v)
	}
	switch x := x.(type) {
	case nil, bool, int64:
		return record.AppendValue(dst, fromAMQP(x))
	case amqp.Table:
		return w.table(dst, x, at)
	case []any:
		dst = append(dst, '[')
		for i, v := range x {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = w.field(dst, v, at+"/"+strconv.Itoa(i))
		}
		return append(dst, ']')
	case string:
		if !utf8.ValidString(x) {
			return typed("text_base64", record.StringValue(base64.StdEncoding.EncodeToString([]byte(x))))
		}
		return record.AppendValue(dst, record.StringValue(x))
	case []byte:
		if !utf8.Valid(x) {
			return typed("bytes_base64", record.StringValue(base64.StdEncoding.EncodeToString(x)))
		}
		return typed("bytes", record.StringValue(string(x)))
	case time.Time:
		return typed("time", fromAMQP(x))
	case amqp.Decimal:
		return typed(decimalType+strconv.Itoa(int(x.Scale)), fromAMQP(x))
	case float64, float32, int8, byte, int16, uint16, int32, uint32:
		return typed(fmt.Sprintf("%T", x), fromAMQP(x))
	}
	return typed("unknown", fromAMQP(x))
}
