package process

import (
	"errors"
	"fmt"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type assertConfig struct {
	that   conf.Expr
	reason string
}

func assertStep() stage.Kind {
	return stage.DefineStep("assert", "Makes dead letters of the records for which an expression is not true.", (*assertConfig).bind, (*assertConfig).build).
		WithExample(`assert: {that: "reading > -50 && reading < 1000", reason: "the sensor is broken"}`)
}

func (c *assertConfig) bind(f *conf.Fields) {
	either(f, "assert", "What must be true of every record: an expression, or a mapping of `that` and `reason`. "+
		"Where it is false or cannot be told, the record is a dead letter, with the expression and the fields that it reads in the reason.",
		func() *conf.Value { return f.Expr(&c.that, "assert", "") },
		func(f *conf.Fields) {
			f.Expr(&c.that, "that", "The expression that must be true.").Required()
			f.String(&c.reason, "reason", "", "What it means that it is not, in words for whoever finds the dead letter.")
		})
}

func (c *assertConfig) build(b *stage.Builder) stage.OperatorSpec {
	that := b.Condition(c.that)
	warnConstant(b, c.that, that, "it holds for every record", "every record becomes a dead letter")
	o := &assertion{that: that, text: shortened(c.that.Value, 200), reason: c.reason}
	if that != nil {
		for _, path := range that.Paths() {
			o.reads = append(o.reads, read{path.String(), b.Layout.Slot(path)})
		}
	}
	return stage.OperatorSpec{
		New:        func() stage.Operator { return o }, // it has no state
		RecordWise: true,
		Retries:    true,
		Text:       c.that.Value,
	}
}

type assertion struct {
	that         *expr.Program
	text, reason string
	reads        []read
}

// read is a field that the expression reads.
type read struct {
	text string
	slot record.Slot
}

func (o *assertion) Process(c *stage.Context, r *record.Record) stage.Verdict {
	switch ok, err := o.that.Bool(&c.Scope); {
	case err != nil:
		return c.Fail(r, o.explain(r, "cannot be told: "+message(err)))
	case !ok:
		return c.Fail(r, o.explain(r, "is false"))
	}
	return stage.Pass
}

// message is an error without the advice that goes with it.
func message(err error) string {
	var e *expr.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// explain is the reason of a dead letter:
// `assert: too hot: "reading < 100" is false (reading = 120)`.
func (o *assertion) explain(r *record.Record, what string) string {
	text := "assert: "
	if o.reason != "" {
		text += o.reason + ": "
	}
	text += fmt.Sprintf("%q %s", o.text, what)
	const most = 8
	for i, f := range o.reads {
		switch i {
		case 0:
			text += " ("
		case most:
			return text + ", …)"
		default:
			text += ", "
		}
		text += f.text + " = " + display(r.Field(f.slot))
	}
	if len(o.reads) > 0 {
		text += ")"
	}
	return text
}

// display is a value in a message: JSON of at most some 60 bytes.
func display(v record.Value) string {
	if v.Kind() == record.Missing {
		return "missing"
	}
	return shortened(string(record.AppendValue(nil, v)), 60)
}

// shortened cuts a text behind n bytes, at the beginning of a character.
func shortened(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
