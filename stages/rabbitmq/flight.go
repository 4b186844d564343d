package rabbitmq

import (
	"bytes"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
)

// flight is a message on its way.
type flight struct {
	message message
	confirm *amqp.DeferredConfirmation
}

// again is the flight, to be sent once more.
func (f flight) again() flight {
	f.confirm = nil
	return f
}

// ring is a queue of flights that grows as needed.
type ring struct {
	buf  []flight // its length is a power of two
	from int
	n    int
}

func (r *ring) push(f flight) {
	if r.n == len(r.buf) {
		grown := make([]flight, max(64, 2*len(r.buf)))
		for i := range r.n {
			grown[i] = *r.at(i)
		}
		r.buf, r.from = grown, 0
	}
	*r.at(r.n) = f
	r.n++
}

func (r *ring) at(i int) *flight { return &r.buf[(r.from+i)&(len(r.buf)-1)] }

func (r *ring) pop() flight {
	f := r.at(0)
	out := *f
	*f = flight{} // it keeps nothing alive
	r.from = (r.from + 1) & (len(r.buf) - 1)
	r.n--
	return out
}

// maker makes messages of records.
type maker struct {
	config *sinkConfig
	clock  clock.Clock
	scope  expr.Scope
	chunk  []byte // for bodies; it is used up and never written again
}

// chunkSize is how much memory is taken at a time for the bodies of messages.
const chunkSize = 64 << 10

// message makes the message of a record. It has memory of its own.
func (m *maker) message(r *record.Record) (out message, err error) {
	t := &m.config.message
	if m.config.timed {
		m.scope.Now = m.clock.Now().UnixNano()
	}
	if err := t.fill(&out, r, &m.scope); err != nil {
		return out, fmt.Errorf("message: %w", err)
	}
	if s, ok := r.Meta.(*deadletter.Sealed); ok {
		out.publishing.Body = bytes.Clone(s.Letter.Payload)
		return out, nil
	}
	out.publishing.Body = m.body(r, t.opaque)
	return out, nil
}

// body is what the record reads as.
func (m *maker) body(r *record.Record, opaque bool) []byte {
	if cap(m.chunk)-len(m.chunk) < max(len(r.Payload), 512) {
		m.chunk = make([]byte, 0, max(chunkSize, len(r.Payload)))
	}
	from := len(m.chunk)
	if opaque {
		m.chunk = append(m.chunk, r.Payload...)
	} else {
		m.chunk = record.AppendJSON(m.chunk, r)
	}
	return m.chunk[from:len(m.chunk):len(m.chunk)]
}
