// Package drop holds the sink `drop`, which counts records and forgets them:
// for measuring, and for flows whose side outputs are all that matters.
package drop

import (
	"context"
	"sync/atomic"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Config is empty: there is nothing to set.
type Config struct{}

func (*Config) bind(*conf.Fields) {}

// Sink is the kind `drop`.
func Sink() stage.Kind {
	return stage.DefineSink("drop", "Counts records and forgets them.", (*Config).bind, build).WithExample("drop: {}\n")
}

func build(*Config, *stage.Builder) stage.SinkSpec {
	return stage.SinkSpec{New: func(stage.Runtime) stage.Sink { return new(Dropper) }, Text: "nowhere"}
}

// Dropper is the sink.
type Dropper struct {
	count atomic.Uint64
}

var _ stage.Sink = (*Dropper)(nil)

// Count is the number of records that were dropped. It is safe to call from
// any goroutine.
func (d *Dropper) Count() uint64 { return d.count.Load() }

func (d *Dropper) Open(context.Context) error { return nil }

func (d *Dropper) Write(_ context.Context, records []record.Record) (int, error) {
	d.count.Add(uint64(len(records)))
	return len(records), nil
}

func (d *Dropper) Flush(done func(error)) { done(nil) }

func (d *Dropper) Close() error { return nil }
