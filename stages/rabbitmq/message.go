package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// messageTemplate is how a record becomes a message.
type messageTemplate struct {
	key, id, correlation, replyTo, expiration, priority template
	contentType, encoding, kind, app, timestamp         template

	headers []headerTemplate
	forward map[string]bool
	traced  bool // headers say what trace a message is part of
	opaque  bool
	mode    uint8
}

type headerTemplate struct {
	name  string
	value template
}

// message is a record as it is published. It has memory of its own.
type message struct {
	key        string
	publishing amqp.Publishing
	// Where the record came from, since it may have to become a dead letter.
	meta   record.Meta
	time   int64
	origin record.Origin
}

var idPath = record.Path{{Key: "message_id"}}

// fill makes the message of a record, but for its body. An error is the
// record's fault.
func (t *messageTemplate) fill(m *message, r *record.Record, s *expr.Scope) (err error) {
	s.Record = r
	m.meta, m.time, m.origin = r.Meta, r.Time, r.Origin
	p := &m.publishing
	p.DeliveryMode = t.mode
	came := forwarded(r)
	if came != nil && len(t.forward) > 0 {
		t.copy(p, came)
	}
	sealed, isLetter := r.Meta.(*deadletter.Sealed)
	if isLetter {
		m.meta = nil
		t.letter(p, sealed)
	}
	text := func(to *string, from *template, how func(*template, *expr.Scope) (string, error)) {
		if err == nil && !from.empty() {
			*to, err = how(from, s)
		}
	}
	text(&m.key, &t.key, (*template).short)
	text(&p.MessageId, &t.id, (*template).optional)
	text(&p.CorrelationId, &t.correlation, (*template).optional)
	text(&p.ReplyTo, &t.replyTo, (*template).optional)
	if !isLetter || forwarded(&sealed.Original) == nil { // else it has what it came with, or none
		text(&p.ContentType, &t.contentType, (*template).optional)
	}
	text(&p.ContentEncoding, &t.encoding, (*template).optional)
	text(&p.Type, &t.kind, (*template).optional)
	text(&p.AppId, &t.app, (*template).optional)
	if err != nil {
		return err
	}
	if t.id.empty() && !isLetter {
		p.MessageId = defaultID(r, came)
	}
	return t.rest(p, s)
}

// defaultID is the id that the record came with, or was made with.
func defaultID(r *record.Record, came *envelope) string {
	if came != nil {
		return came.id
	}
	if r.Meta == nil {
		return ""
	}
	id := r.Meta.Lookup(idPath, r.Origin.Seq).Text()
	if len(id) > maxShort {
		return ""
	}
	return strings.Clone(id)
}

// forwarded is what came with a record from RabbitMQ; nil: it did not.
func forwarded(r *record.Record) *envelope {
	switch m := r.Meta.(type) {
	case *envelopes:
		return m.of(r.Origin.Seq)
	case record.SavedMeta:
		return restored(m)
	}
	return nil
}

// copy takes over the properties that go on as they came.
func (t *messageTemplate) copy(p *amqp.Publishing, came *envelope) {
	if t.forward["headers"] {
		p.Headers = ownHeaders(came.headers)
	}
	if t.forward["message_id"] {
		p.MessageId = came.id
	}
	if t.forward["content_type"] {
		p.ContentType = came.contentType
	}
	r := came.rest
	if r == nil {
		return
	}
	pick := func(name string, to *string, from string) {
		if t.forward[name] {
			*to = from
		}
	}
	pick("correlation_id", &p.CorrelationId, r.correlationID)
	pick("reply_to", &p.ReplyTo, r.replyTo)
	pick("content_encoding", &p.ContentEncoding, r.encoding)
	pick("type", &p.Type, r.kind)
	pick("app_id", &p.AppId, r.appID)
	pick("expiration", &p.Expiration, r.expiration)
	if t.forward["timestamp"] {
		p.Timestamp = r.timestamp
	}
	if t.forward["priority"] {
		p.Priority = r.priority
	}
}

// ownHeaders are the headers without those of the broker: with its x-death,
// a message would look as if it were going round in a circle, and be dropped.
func ownHeaders(t amqp.Table) amqp.Table {
	brokers := func(name string) bool {
		return name == "x-death" || strings.HasPrefix(name, "x-first-death-") || strings.HasPrefix(name, "x-last-death-") ||
			name == countHeader || name == offsetHeader
	}
	for name := range t {
		if brokers(name) {
			own := maps.Clone(t)
			maps.DeleteFunc(own, func(name string, _ any) bool { return brokers(name) })
			return own
		}
	}
	return t
}

// rest sets the properties that are no texts.
func (t *messageTemplate) rest(p *amqp.Publishing, s *expr.Scope) error {
	if len(t.headers) > 0 {
		headers := make(amqp.Table, len(t.headers)+len(p.Headers))
		maps.Copy(headers, p.Headers) // those that came are shared with other messages
		for i := range t.headers {
			v, err := t.headers[i].value.value(s)
			if err != nil {
				return err
			}
			headers[t.headers[i].name] = v
		}
		p.Headers = headers
	}
	if n := sizeOf(p.Headers); n > maxHeaders {
		return fmt.Errorf("headers: about %d bytes, more than %d", n, maxHeaders)
	}
	if v, ok, err := t.expiration.eval(s); err != nil {
		return err
	} else if ok {
		if p.Expiration, err = lifetime(v); err != nil {
			return fmt.Errorf("expiration: %w", err)
		}
	}
	if v, ok, err := t.priority.eval(s); err != nil {
		return err
	} else if ok {
		n, err := strconv.ParseUint(v.Text(), 10, 8)
		if err != nil {
			return fmt.Errorf("priority: %s is not a whole number from 0 to 255", v.Text())
		}
		p.Priority = uint8(n)
	}
	if v, ok, err := t.timestamp.eval(s); err != nil {
		return err
	} else if ok {
		ns, err := record.ParseTime(v, "auto")
		if err != nil {
			return fmt.Errorf("timestamp: %w", err)
		}
		p.Timestamp = time.Unix(0, ns)
	}
	return nil
}

// The headers that carry a trace (W3C Trace Context).
const (
	parentHeader = "traceparent"
	stateHeader  = "tracestate"
)

// trace has the record's trace go on in the message. Where the flow file sets
// these headers itself, that stands; a dead letter keeps those that came.
func (t *messageTemplate) trace(ctx context.Context, p stage.Propagator, m *message, r *record.Record) {
	if _, isLetter := r.Meta.(*deadletter.Sealed); isLetter || t.traced {
		return
	}
	parent, state := p.Propagate(ctx, r)
	if parent == "" {
		return
	}
	headers := make(amqp.Table, len(m.publishing.Headers)+2)
	maps.Copy(headers, m.publishing.Headers) // those that came are shared with other messages
	delete(headers, stateHeader)
	headers[parentHeader] = parent
	if state != "" {
		headers[stateHeader] = state
	}
	m.publishing.Headers = headers
}

// maxHeaders is what fits a frame of the size that brokers agree to: they end
// the connection when it is exceeded.
const maxHeaders = 100 << 10

// sizeOf is about how many bytes a field takes.
func sizeOf(x any) int {
	n := 16
	switch x := x.(type) {
	case amqp.Table:
		for k, v := range x {
			n += len(k) + sizeOf(v)
		}
	case []any:
		for _, v := range x {
			n += sizeOf(v)
		}
	case string:
		n += len(x)
	case []byte:
		n += len(x)
	}
	return n
}

// lifetime is an expiration as the broker has it: milliseconds.
func lifetime(v record.Value) (string, error) {
	if v.Kind() == record.Int {
		if v.Int() < 0 {
			return "", errors.New("it is negative")
		}
		return strconv.FormatInt(v.Int(), 10), nil
	}
	d, err := conf.ParseDuration(v.Text())
	if err != nil {
		return "", fmt.Errorf("%q is no duration: %w", v.Text(), err)
	}
	return strconv.FormatInt(d.Milliseconds(), 10), nil
}
