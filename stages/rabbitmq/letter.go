package rabbitmq

import (
	"maps"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/record"
)

// maxReason bounds the reason of a dead letter in its header, so that it
// leaves room for what the message came with.
const maxReason = 8 << 10

// letter makes a message of a dead letter: its body is the record as it was,
// with the properties that it came with, and the facts of the envelope are in
// headers beside its own.
func (t *messageTemplate) letter(p *amqp.Publishing, s *deadletter.Sealed) {
	came := forwarded(&s.Original)
	if came != nil {
		came.onto(p)
	}
	l := &s.Letter
	p.MessageId = l.ID
	facts := letterHeaders(l)
	own := ownHeaders(p.Headers)
	all := make(amqp.Table, len(own)+len(facts)+4)
	maps.Copy(all, own)
	maps.DeleteFunc(all, func(name string, _ any) bool { return strings.HasPrefix(name, deadletter.HeaderPrefix) })
	if _, v, err := readMeta(l.Meta); err == nil && len(l.Meta) > 0 {
		first := firstCame(v)
		facts[deadletter.HeaderExchange], facts[deadletter.HeaderRoutingKey] = first.exchange, first.key
		short(facts, deadletter.HeaderMessageID, first.id)
		short(facts, deadletter.HeaderQueue, s.Original.Meta.Lookup(queuePath, s.Original.Origin.Seq).Text())
	}
	maps.Copy(all, facts)
	if sizeOf(all) > maxHeaders {
		all = facts // the letter matters more than what a stranger put into headers
	}
	p.Headers = all
}

// firstCame says how a message was published when it first came: one that was
// replayed says so in its headers.
func firstCame(v *envelope) envelope {
	first := envelope{exchange: v.exchange, key: v.key, id: v.id}
	if _, replayed := v.headers[deadletter.HeaderReplayed]; !replayed {
		return first
	}
	first.id, _ = v.headers[deadletter.HeaderMessageID].(string)
	if key, ok := v.headers[deadletter.HeaderRoutingKey].(string); ok {
		first.key = key
		first.exchange, _ = v.headers[deadletter.HeaderExchange].(string)
	}
	return first
}

var queuePath = record.Path{{Key: "queue"}}

// letterHeaders are the facts of an envelope as headers.
func letterHeaders(l *deadletter.Letter) amqp.Table {
	reason := l.Reason
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	t := amqp.Table{
		deadletter.HeaderFormat:   int64(deadletter.Format),
		deadletter.HeaderID:       l.ID,
		deadletter.HeaderTime:     record.FormatTime(l.Time.UnixNano()),
		deadletter.HeaderAttempts: int64(l.Attempts),
		deadletter.HeaderReason:   reason,
	}
	short(t, deadletter.HeaderFlow, l.Flow)
	short(t, deadletter.HeaderVersion, l.Version)
	short(t, deadletter.HeaderStage, l.Stage)
	short(t, deadletter.HeaderSource, l.Source)
	short(t, deadletter.HeaderFile, l.File)
	if l.Line >= 0 {
		t[deadletter.HeaderLine] = l.Line
	}
	if l.Offset >= 0 {
		t[deadletter.HeaderOffset] = l.Offset
	}
	return t
}

func short(t amqp.Table, name, value string) {
	if value != "" {
		t[name] = strings.Clone(value)
	}
}

// onto copies the properties that a message came with. Those that would have
// the broker do something with it are left out: a dead letter does not expire.
func (v *envelope) onto(p *amqp.Publishing) {
	p.Headers, p.MessageId, p.ContentType = v.headers, v.id, v.contentType
	if r := v.rest; r != nil {
		p.CorrelationId, p.ReplyTo, p.ContentEncoding, p.Type, p.AppId = r.correlationID, r.replyTo, r.encoding, r.kind, r.appID
		p.Timestamp, p.Priority = r.timestamp, r.priority
	}
}

// readLetter reads a message as a dead letter: one of ours by its headers, and
// any other as one that a broker has put aside.
func readLetter(queue string, d *amqp.Delivery) *deadletter.Letter {
	e := envelopes{consumer: &consumer{queue: queue}}
	e.add(d)
	v := &e.list[0]
	get := func(name string) string { return header(d.Headers, record.Path{{Key: name}}).Text() }
	number := func(name string, or int64) int64 {
		if n := header(d.Headers, record.Path{{Key: name}}); n.Kind() == record.Int {
			return n.Int()
		}
		return or
	}
	l := &deadletter.Letter{
		Payload: d.Body, Attempts: int(max(1, min(number(deadletter.HeaderAttempts, 1), 1<<30))),
		Line: number(deadletter.HeaderLine, -1), Offset: number(deadletter.HeaderOffset, -1),
	}
	if _, ours := d.Headers[deadletter.HeaderFormat]; !ours {
		readRejected(l, v, queue, number(deadletter.HeaderAttempts, 0))
		return l
	}
	l.ID, l.Flow, l.Version, l.Stage = get(deadletter.HeaderID), get(deadletter.HeaderFlow), get(deadletter.HeaderVersion), get(deadletter.HeaderStage)
	l.Reason, l.Source, l.File = get(deadletter.HeaderReason), get(deadletter.HeaderSource), get(deadletter.HeaderFile)
	if t, err := time.Parse(time.RFC3339Nano, get(deadletter.HeaderTime)); err == nil {
		l.Time = t
	}
	origin := *v
	origin.exchange, origin.key, origin.id = get(deadletter.HeaderExchange), get(deadletter.HeaderRoutingKey), get(deadletter.HeaderMessageID)
	if _, fromQueue := d.Headers[deadletter.HeaderQueue]; fromQueue || l.File == "" {
		l.Meta = origin.appendOrigin(get(deadletter.HeaderQueue))
	}
	return l
}

// appendOrigin writes how a message first came, without what was added since.
func (v *envelope) appendOrigin(queue string) []byte {
	own := make(amqp.Table, len(v.headers))
	maps.Copy(own, ownHeaders(v.headers))
	maps.DeleteFunc(own, func(name string, _ any) bool { return strings.HasPrefix(name, deadletter.HeaderPrefix) })
	origin := *v
	origin.headers = own
	o := object{dst: []byte{'{'}}
	o.text("queue", queue)
	o.value("exchange", record.StringValue(v.exchange))
	o.value("routing_key", record.StringValue(v.key))
	origin.properties(&o)
	return append(o.dst, '}')
}

// readRejected reads what a broker has put aside: its x-death says where the
// message was, why it left, and how often.
func readRejected(l *deadletter.Letter, v *envelope, queue string, before int64) {
	from, reason := queue, ""
	var at time.Time
	origin := *v
	if deaths, ok := v.headers["x-death"].([]any); ok && len(deaths) > 0 {
		if death, ok := deaths[0].(amqp.Table); ok {
			from, _ = death["queue"].(string)
			reason, _ = death["reason"].(string)
			at, _ = death["time"].(time.Time)
			origin.exchange, _ = death["exchange"].(string)
			if keys, ok := death["routing-keys"].([]any); ok && len(keys) > 0 {
				origin.key, _ = keys[0].(string)
			}
			count, _ := death["count"].(int64)
			l.Attempts = int(max(1, min(before+max(count, 1), 1<<30)))
		}
	}
	l.Time = at
	l.Reason = rejectedBecause(reason, from)
	l.Meta = origin.appendOrigin(from)
	identity := v.id
	if identity == "" {
		identity, l.Vague = record.FormatTime(at.UnixNano()), true
	}
	l.ID = deadletter.NewID("", from, identity, reason, l.Attempts, l.Payload)
}

func rejectedBecause(reason, queue string) string {
	switch reason {
	case "rejected":
		return "rejected from queue " + queue + "; the log of the flow has the reason"
	case "expired":
		return "expired in queue " + queue
	case "maxlen":
		return "queue " + queue + " was full"
	case "delivery_limit":
		return "queue " + queue + " has delivered it too often"
	case "":
		return "no reason is known: no dead letter of Telluride, nor one that the broker has put aside"
	}
	return reason + " (queue " + queue + ")"
}
