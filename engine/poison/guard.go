package poison

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
)

const (
	// fewEnds is the number of ends without order in a row from which on a
	// guard watches: one happens to everybody.
	fewEnds = 2
	// rest is how long nothing is in flight before a record is tried again that
	// was alone in flight when a process ended. An end from outside falls into
	// it rather than into the milliseconds that the record takes.
	rest = time.Second
	// patience is how long a group may be in flight. What takes longer waits for
	// something, and when the process is ended meanwhile that says nothing.
	patience = 10 * time.Second
	// soundAfter is how long a process lives that is well.
	soundAfter = time.Minute
	// fewRecords may all go one by one: a group that the process ends with costs
	// one more end, which is dearer than some thousand short epochs.
	fewRecords = 1024
)

// Turn is taken by whoever has a group in flight: the flows of a process share
// one, so that the end of the process tells which group it was.
type Turn chan struct{}

// NewTurn makes a turn that nobody has.
func NewTurn() Turn { return make(Turn, 1) }

// Config is what a guard is to know.
type Config struct {
	// Store keeps the note; it outlives the process.
	Store checkpoint.Store
	Flow  string
	// Attempts is at how many ends of the process a record was alone in flight
	// that is condemned.
	Attempts int
	// InFlight is how many records a process may have had in flight when it
	// ended: what comes behind so many was not.
	InFlight uint64
	Turn     Turn
	Clock    clock.Clock
	Log      *slog.Logger
}

// Guard watches one flow of a process. A nil Guard watches nothing. Its methods
// are safe for concurrent use.
type Guard struct {
	config   Config
	began    time.Time
	watching atomic.Bool
	singly   atomic.Bool
	wary     atomic.Bool

	mu     sync.Mutex
	note   note
	names  []string // in flight
	mine   bool     // the turn is
	passed uint64   // records that were committed since it began
}

// Open reads how the last process ended. The change that it returns notes that
// this one has begun: the caller stores it before the flow reads anything.
func Open(c Config) (*Guard, checkpoint.Change, error) {
	last, found, err := read(c.Store, c.Flow)
	if err != nil {
		return nil, checkpoint.Change{}, err
	}
	g := &Guard{config: c, began: c.Clock.Now()}
	if found {
		g.note = last.next()
		g.suspect(last.Flight)
	}
	return g, g.note.change(), nil
}

// suspect decides what to do about the end of the last process.
func (g *Guard) suspect(last *flight) {
	n := &g.note
	watch := n.Ends >= fewEnds
	if watch && n.Singly == 0 && g.config.InFlight <= fewRecords {
		n.Singly = g.config.InFlight
	}
	g.watching.Store(watch)
	g.singly.Store(watch && (n.Singly > 0 || g.suspects()))
	g.wary.Store(watch || len(n.Deaths) > 0)
	if last != nil && last.Records == 1 {
		g.config.Log.Warn("the process ended while this record was alone in flight",
			"record", last.Name, "times", n.Deaths[last.Name], "dead_letter_at", g.config.Attempts)
	}
	if watch {
		g.config.Log.Warn("the process did not end in order several times in a row; what was in flight is let through bit by bit, to find records that end it",
			"times", n.Ends, "one_by_one", n.Singly)
	}
}

// suspects says whether some record is still to be tried again.
func (g *Guard) suspects() bool {
	for _, deaths := range g.note.Deaths {
		if deaths < g.config.Attempts {
			return true
		}
	}
	return false
}

// Wary says that records are to be looked at before they go.
func (g *Guard) Wary() bool { return g != nil && g.wary.Load() }

// Watching says that records are to go in groups, one at a time.
func (g *Guard) Watching() bool { return g != nil && g.watching.Load() }

// Singly is true while groups are to have one record.
func (g *Guard) Singly() *atomic.Bool {
	if g == nil {
		return nil
	}
	return &g.singly
}

// Turn is to be taken, by sending, before [Guard.Begin].
func (g *Guard) Turn() chan<- struct{} { return g.config.Turn }

// Patience is how long a group may be in flight before [Guard.Leave].
func (g *Guard) Patience() time.Duration { return patience }

// Rest is how long nothing is to be in flight before a group goes.
func (g *Guard) Rest(names []string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		if n := g.note.Deaths[name]; n > 0 && n < g.config.Attempts {
			return rest
		}
	}
	return 0
}

// Condemned is why a record is a dead letter, and at how many ends of the
// process it was alone in flight; "" when it may go.
func (g *Guard) Condemned(name string) (reason string, deaths int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.note.Deaths[name]
	if n < g.config.Attempts {
		return "", 0
	}
	return fmt.Sprintf("the process ended %d times while this record was alone in flight", n), n
}

// Begin notes a group that is about to go, unless it has no records but dead
// letters. The turn has been taken; it is given back, and the note taken back,
// by [Guard.Landed], or one of the others below.
func (g *Guard) Begin(names []string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mine = true
	if len(names) == 0 {
		return nil
	}
	g.names = names
	g.note.Flight = &flight{Records: len(names)}
	if len(names) == 1 {
		g.note.Flight.Name = names[0]
	}
	return g.note.write(g.config.Store, g.config.Flow)
}

func (g *Guard) giveBack() {
	if g.mine {
		g.mine = false
		<-g.config.Turn
	}
}

// Landed says that the group in flight was committed.
func (g *Guard) Landed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range g.names {
		delete(g.note.Deaths, name)
	}
	return g.withdraw()
}

// Withdraw says that the end of the process would not be due to what is in
// flight, if anything is: it waits, or has been aborted. It is still to be
// waited for.
func (g *Guard) Withdraw() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.withdraw()
}

func (g *Guard) withdraw() error {
	defer g.giveBack()
	g.names = nil
	if g.note.Flight == nil {
		return nil
	}
	g.note.Flight = nil
	return g.note.write(g.config.Store, g.config.Flow)
}

// Leave ends the watch before its time, since a group does not land.
func (g *Guard) Leave() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.config.Log.Warn("records are let through freely again: what is in flight waits for something, so that the end of the process would say nothing of it",
		"waited", patience)
	g.watching.Store(false)
	g.singly.Store(false)
	return g.withdraw()
}

// Committed counts committed records. Once nothing can be left of what was in
// flight when the last process ended, or this one has lived for long enough, all
// is well again.
func (g *Guard) Committed(records uint64) error {
	if g == nil || records == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.note.Ends == 0 {
		return nil
	}
	g.passed += records
	if g.note.Singly -= min(records, g.note.Singly); g.note.Singly == 0 && !g.suspects() {
		g.singly.Store(false)
	}
	if g.passed < g.config.InFlight && g.config.Clock.Now().Sub(g.began) < soundAfter {
		return nil
	}
	if g.watching.Swap(false) {
		g.config.Log.Info("what was in flight when the process ended has got through; records go freely again")
	}
	g.wary.Store(false)
	g.note = note{}
	return g.note.write(g.config.Store, g.config.Flow)
}

// Close notes that the flow has ended in order, whatever the reason.
func (g *Guard) Close() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.giveBack()
	return erase(g.config.Store, g.config.Flow)
}
