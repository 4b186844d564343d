package checkpoint

import (
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

// When barriers go out.

// next begins an epoch when it is time to, and otherwise says how long to
// wait unless something happens.
func (c *Coordinator) next() (record.Barrier, time.Duration, error) {
	now := c.config.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return record.Barrier{}, 0, c.failed
	}
	kind, wait := c.due(now)
	if kind == record.None {
		return record.Barrier{}, wait, nil
	}
	c.began, c.last = c.total(), now
	c.stirred.Store(false)
	c.grown.Store(false)
	if kind != record.Checkpoint {
		c.hurried.Store(false)
	}
	b := c.epochs.Begin(kind)
	b.Partial, c.partial = c.partial, nil
	if kind >= record.Drain {
		c.drain, c.drained = b.Epoch, false
		c.ended, c.parked = kind == record.End, kind == record.Drain
	}
	return b, 0, nil
}

// due decides which barrier is to go out now, if any.
func (c *Coordinator) due(now time.Time) (record.BarrierKind, time.Duration) {
	const idle = time.Hour
	switch {
	case c.ended, c.epochs.Travelling() >= MaxTravelling:
		return record.None, idle
	case c.parked && len(c.partial) > 0:
		return record.Drain, 0
	case c.parked:
		return record.None, idle
	case c.ending || c.finished == len(c.config.Sources):
		return record.End, 0
	case len(c.draining) > 0:
		return record.Drain, 0
	case c.epochs.Travelling() >= usualTravelling:
		return record.None, idle // its return wakes us
	}
	unread := c.total() - c.began
	if unread == 0 && c.epochs.Open() == 0 && !c.stirred.Load() && !c.grown.Load() {
		return record.None, c.config.Interval
	}
	half, exhausted := c.pressure()
	quiet := c.epochs.Travelling() == 0
	since := now.Sub(c.last)
	switch {
	case quiet && (c.hurried.Load() || exhausted || c.epochs.Bytes() > c.config.MaxBytes):
		return record.Flush, 0
	case quiet && unread > 0 && half, unread >= c.config.MaxRecords, c.grown.Load():
		return record.Checkpoint, 0
	case c.config.Eager && quiet && (unread > 0 || since >= retryHeld):
		return record.Checkpoint, 0
	case c.config.Eager && quiet:
		return record.None, retryHeld - since
	case since >= c.config.Interval && quiet:
		return record.Checkpoint, 0
	case since >= c.config.Interval:
		return record.None, idle
	}
	return record.None, c.config.Interval - since
}

func (c *Coordinator) total() (n uint64) {
	for i := range c.sent {
		n += c.sent[i].Load()
	}
	return n
}

func (c *Coordinator) pressure() (half, exhausted bool) {
	for i, s := range c.config.Sources {
		if s.Prefetch > 0 {
			n := c.sent[i].Load() - c.settled[i].Load()
			half = half || n >= uint64(s.Prefetch+1)/2
			exhausted = exhausted || n >= uint64(s.Prefetch)
		}
	}
	return half, exhausted
}

func (c *Coordinator) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Sent says that a source's records up to seq are on their way.
func (c *Coordinator) Sent(source int, seq uint64) {
	before := c.sent[source].Swap(seq)
	p := uint64(c.config.Sources[source].Prefetch)
	// Wake the clock only when this may change what it decides: the first
	// records behind a barrier, a full epoch, half of the prefetch.
	if c.config.Eager || before == 0 || p > 0 && seq-c.settled[source].Load() >= (p+1)/2 || seq/c.config.MaxRecords != before/c.config.MaxRecords {
		c.notify()
	}
}

// Grown says that so much of a state has changed that it should be saved now,
// rather than more of it later.
func (c *Coordinator) Grown() {
	if !c.grown.Swap(true) {
		c.notify()
	}
}

// Hurry has what was sent so far committed as soon as that can be, and what
// stages hold of it let go.
func (c *Coordinator) Hurry() {
	if !c.hurried.Swap(true) {
		c.notify()
	}
}

// Full says that so much of a state has changed that the sources are to wait
// until it is saved, or that it is saved. Every true is followed by a false.
func (c *Coordinator) Full(full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case full:
		if c.full++; c.full == 1 {
			room := make(chan struct{})
			c.room.Store(&room)
		}
	default:
		if c.full--; c.full == 0 {
			close(*c.room.Swap(nil))
		}
	}
}

// Room is nil while sources may go on, and otherwise a channel that is closed
// when they may. What they do not read, no slow disk makes pile up in memory.
func (c *Coordinator) Room() <-chan struct{} {
	if room := c.room.Load(); room != nil {
		return *room
	}
	return nil
}

// Stir says that a stage has let something out that no record brought: when a
// window closes by the clock, say. It is committed like what was read.
func (c *Coordinator) Stir() {
	if !c.stirred.Swap(true) {
		c.notify()
	}
}
