package clock

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Pauses are the waits between tries of something that fails. Each is about
// twice as long as the one before, and none is longer than a limit.
type Pauses struct {
	waits backoff.ExponentialBackOff
	limit time.Duration
}

// NewPauses starts about at first. Steady pauses are exact; others are up to
// 30 % longer or shorter, so that what failed together does not come back
// together.
func NewPauses(first, limit time.Duration, steady bool) *Pauses {
	p := &Pauses{limit: limit, waits: backoff.ExponentialBackOff{InitialInterval: first, Multiplier: 2, MaxInterval: limit}}
	if !steady {
		const jitter = 0.3
		p.waits.RandomizationFactor = jitter
		p.waits.MaxInterval = time.Duration(float64(limit) / (1 + jitter)) // else the longest would mostly be the limit itself
	}
	p.waits.Reset()
	return p
}

// Next is the wait before the next try.
func (p *Pauses) Next() time.Duration { return min(p.waits.NextBackOff(), p.limit) }

// Reset starts again at the first.
func (p *Pauses) Reset() { p.waits.Reset() }
