package rabbitmq

import (
	"crypto/sha256"
	"encoding/hex"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// ident says what the id of a message is: by which it is recognised when the
// broker delivers it again. It is immutable.
type ident struct {
	program   *expr.Program
	projector *record.Projector
	slots     int
}

// newIdent compiles the key `id`; nil when it is not given, and message_id
// serves. The fields are read from the payload here, ahead of the flow's own
// reading: the id is needed before a message enters the flow.
func newIdent(e conf.Expr, b *stage.Builder) *ident {
	if !e.Given() {
		return nil
	}
	own := *b
	own.Layout, own.Schema, own.Meta = record.NewLayout(), &expr.Schema{Open: true}, nil
	for _, key := range metaKeys() {
		own.Meta = append(own.Meta, key.Name)
	}
	p := own.Expr(e)
	if p == nil {
		return nil
	}
	return &ident{program: p, projector: record.NewProjector(own.Layout), slots: own.Layout.Len()}
}

// identifier evaluates an ident for one consumer.
type identifier struct {
	*ident
	scope  expr.Scope
	fields []record.Value
}

func newIdentifier(i *ident) *identifier {
	if i == nil {
		return nil
	}
	return &identifier{ident: i, fields: make([]record.Value, i.slots)}
}

// maxID is the longest id that is kept as it is; of longer ones a hash is.
const maxID = 255

// of is the id of a message, "" when it has none: since it is no JSON, the
// expression fails for it, or its value is nil. index is the message's place
// in the batch of meta.
func (i *identifier) of(d *amqp.Delivery, meta *envelopes, index int) string {
	if i == nil {
		return d.MessageId
	}
	clear(i.fields)
	if i.slots > 0 {
		if i.projector.Project(d.Body, i.fields) != nil {
			return ""
		}
	}
	r := record.Record{Payload: d.Body, Fields: i.fields, Meta: meta}
	r.Origin.Seq = uint64(index) // sequence numbers are given out later: meta counts from 0
	i.scope.Record = &r
	v, err := i.program.Eval(&i.scope)
	if err != nil || v.IsNil() {
		return ""
	}
	id := string(v.AppendText(nil))
	if len(id) > maxID {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	return id
}
