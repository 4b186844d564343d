// Package clock is the time of sources, sinks and the engine, so that a flow
// test can script it. Operators never see a clock: their time comes in the
// stream.
package clock

import "time"

// Clock tells the time and makes timers.
type Clock interface {
	Now() time.Time
	// NewTimer sends the time once on C, d from now.
	NewTimer(d time.Duration) Timer
}

// Timer is a [time.Timer], or what a scripted clock has in its place.
type Timer interface {
	C() <-chan time.Time
	Stop() bool
	Reset(d time.Duration) bool
}

// System is the clock of the machine.
type System struct{}

func (System) Now() time.Time                 { return time.Now() }
func (System) NewTimer(d time.Duration) Timer { return systemTimer{time.NewTimer(d)} }

type systemTimer struct{ *time.Timer }

func (t systemTimer) C() <-chan time.Time { return t.Timer.C }
