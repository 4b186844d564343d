package generate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// generator is the source.
type generator struct {
	config *Config
	rt     stage.Runtime
	maker  maker
	width  int // slots of a record

	seed  uint64
	start int64  // the time of record 0
	index uint64 // of the next record
	// The session began with record first, which was due at opened.
	first  uint64
	opened time.Time
}

// position is where a generator goes on.
type position struct {
	Index uint64 `json:"index"`
	Seed  uint64 `json:"seed"`
	Start int64  `json:"start"`
}

var _ stage.Source = (*generator)(nil)

func newGenerator(c *Config, rt stage.Runtime, m maker, width int) *generator {
	if rt.MaxBatch <= 0 {
		rt.MaxBatch = 1024
	}
	return &generator{config: c, rt: rt, maker: m, width: width}
}

// Open goes to a position. Values go on as if there had been no break. So do
// times, unless they are those of the clock: sensors that nobody listened to
// were not read.
func (g *generator) Open(_ context.Context, saved []byte) error {
	now := g.rt.Clock.Now()
	p := position{Seed: rand.Uint64(), Start: now.UnixNano()}
	if saved != nil {
		if err := json.Unmarshal(saved, &p); err != nil {
			return fmt.Errorf("the saved position of %s is damaged: %w", g.rt.Name, err)
		}
	}
	g.seed, g.start, g.index = p.Seed, p.Start, p.Index
	g.first, g.opened = p.Index, now
	if g.config.Seeded {
		g.seed = uint64(g.config.Seed)
	}
	switch {
	case g.config.Started:
		g.start = g.config.Start
	case g.config.Realtime:
		g.start = now.UnixNano() - g.since(g.index)
	}
	return nil
}

// since is the time of a record after record 0, in nanoseconds.
func (g *generator) since(index uint64) int64 {
	return int64(index/g.maker.group()) * int64(g.config.Every)
}

// Read makes as many records as are due and fit a batch.
func (g *generator) Read(ctx context.Context) (stage.Input, error) {
	if err := ctx.Err(); err != nil {
		return stage.Input{}, err
	}
	n := uint64(g.rt.Most())
	if count := uint64(g.config.Count); count > 0 {
		if g.index >= count {
			return stage.Input{}, io.EOF
		}
		n = min(n, count-g.index)
	}
	if g.config.Realtime {
		due, err := g.wait(ctx)
		if err != nil {
			return stage.Input{}, err
		}
		n = min(n, due)
	}
	batch := g.batch(int(n))
	saved, err := json.Marshal(position{Index: g.index, Seed: g.seed, Start: g.start})
	if err != nil {
		return stage.Input{}, fmt.Errorf("position of %s: %w", g.rt.Name, err)
	}
	return stage.Input{Batch: batch, Position: saved}, nil
}

// wait returns how many records are due, when there are any.
func (g *generator) wait(ctx context.Context) (uint64, error) {
	group, every := g.maker.group(), g.config.Every
	for {
		// Ticks are counted from the one that the session began in.
		next := time.Duration(g.index/group-g.first/group) * every
		past := g.rt.Clock.Now().Sub(g.opened)
		if past >= next {
			end := (g.first/group + uint64(past/every) + 1) * group
			return end - g.index, nil
		}
		timer := g.rt.Clock.NewTimer(next - past)
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		case <-timer.C():
		}
	}
}

func (g *generator) batch(n int) *record.Batch {
	b := record.NewBatch(n)
	values := b.Arena().Values(n * g.width)
	meta := &origin{seq: g.index - g.first + 1, index: g.index}
	shape := g.maker.shape()
	for i := range n {
		r := record.Record{
			Fields: values[i*g.width : (i+1)*g.width : (i+1)*g.width],
			Shape:  shape,
			Meta:   meta,
			Origin: record.Origin{Seq: g.index - g.first + 1},
		}
		err := g.maker.fill(r.Fields, chance{g.seed, g.index}, g.start+g.since(g.index))
		if err == nil {
			b.Records = append(b.Records, r)
		} else {
			b.Side = append(b.Side, record.Side{
				Record: r, Kind: record.Dead, Stage: g.rt.Name,
				Reason: fmt.Sprintf("row %d: %v", g.index, err),
			})
		}
		g.index++
	}
	return b
}

// Settle has nothing to do: what was not kept can be made again.
func (g *generator) Settle(context.Context, stage.Settlement) error { return nil }

func (g *generator) Close() error { return nil }

// origin is the Meta of a batch: meta.index is a record's index.
type origin struct {
	seq, index uint64 // of the first record
}

func (o *origin) Lookup(path record.Path, seq uint64) record.Value {
	if len(path) == 1 && path[0].Key == "index" && seq >= o.seq {
		return record.IntValue(int64(o.index + seq - o.seq))
	}
	return record.Value{}
}
