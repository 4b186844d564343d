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

// For is c for one of its users, "checkpoint" for instance. A scripted clock may
// be a [Scripted]: of the timers that are due at one instant it has to fire the
// same one first at every run, so it must tell them apart.
func For(c Clock, user string) Clock {
	if s, ok := c.(Scripted); ok {
		return s.For(user)
	}
	return c
}

// Scripted is a clock that wants to know its users.
type Scripted interface {
	Clock
	For(user string) Clock
}

// System is the clock of the machine.
type System struct{}

func (System) Now() time.Time                 { return time.Now() }
func (System) NewTimer(d time.Duration) Timer { return systemTimer{time.NewTimer(d)} }

type systemTimer struct{ *time.Timer }

func (t systemTimer) C() <-chan time.Time { return t.Timer.C }
