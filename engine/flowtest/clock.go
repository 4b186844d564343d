package flowtest

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
)

// scripted is a clock that moves when it is told to. The bubble's own time
// moves along, so that deadlines of contexts come when they should.
type scripted struct {
	base  time.Time // what the clock shows at start
	start time.Time // of the bubble
	user  string
	*timers
}

// timers is shared by the clocks of all users.
type timers struct {
	mu    sync.Mutex
	armed []*timer
	order uint64
}

var _ clock.Scripted = (*scripted)(nil)

// newScripted makes a clock, in a bubble.
func newScripted(base time.Time) *scripted {
	return &scripted{base: base, start: time.Now(), timers: &timers{}}
}

func (c *scripted) For(user string) clock.Clock {
	other := *c
	other.user = user
	return &other
}

// elapsed is the time since the script began.
func (c *scripted) elapsed() time.Duration { return time.Since(c.start) }

func (c *scripted) Now() time.Time { return c.base.Add(c.elapsed()) }

func (c *scripted) NewTimer(d time.Duration) clock.Timer {
	t := &timer{clock: c, c: make(chan time.Time, 1)}
	t.Reset(d)
	return t
}

// timer fires when the script comes to it. Behind Stop and Reset nothing of an
// earlier instant is received any more, as with the timers of package time.
type timer struct {
	clock *scripted
	c     chan time.Time
	when  time.Duration
	order uint64 // of timers of one user, the one that was set first
}

func (t *timer) C() <-chan time.Time { return t.c }

func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.stop()
}

func (t *timer) stop() bool {
	all := t.clock.armed
	i := slices.Index(all, t)
	if i >= 0 {
		t.clock.armed = slices.Delete(all, i, i+1)
	}
	select {
	case <-t.c:
		return true
	default:
		return i >= 0
	}
}

func (t *timer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.stop()
	t.when = t.clock.elapsed() + max(d, 0)
	t.clock.order++
	t.order = t.clock.order
	t.clock.armed = append(t.clock.armed, t)
	return was
}

// next is the instant at which a timer fires next; ok is false when none will.
func (c *scripted) next() (when time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.armed) == 0 {
		return 0, false
	}
	return slices.MinFunc(c.armed, compareTimers).when, true
}

// fire fires the first of the timers that are due now. false: none is.
func (c *scripted) fire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.armed) == 0 {
		return false
	}
	t := slices.MinFunc(c.armed, compareTimers)
	if t.when > c.elapsed() {
		return false
	}
	c.armed = slices.DeleteFunc(c.armed, func(other *timer) bool { return other == t })
	t.c <- c.Now()
	return true
}

func compareTimers(a, b *timer) int {
	return cmp.Or(
		cmp.Compare(a.when, b.when), cmp.Compare(rank(a.clock.user), rank(b.clock.user)),
		strings.Compare(a.clock.user, b.clock.user), cmp.Compare(a.order, b.order),
	)
}

// rank is the place of a user among those whose timers are due together: the
// time passes in the stream before it is tried again, and that before a commit.
func rank(user string) int {
	kind, _, _ := strings.Cut(user, " ")
	switch kind {
	case "source":
		return 0
	case "sink":
		return 1
	case "checkpoint":
		return 3
	}
	return 2
}

// moveTo has the bubble's time be an instant of the script.
func (c *scripted) moveTo(t time.Duration) {
	if d := t - c.elapsed(); d > 0 {
		time.Sleep(d)
	}
}
