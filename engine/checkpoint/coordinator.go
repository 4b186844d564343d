package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/record"
)

// Config is how epochs are clocked.
type Config struct {
	Flow    string
	Sources []SourceLimits
	Sinks   int
	Store   Store
	Clock   clock.Clock
	// Interval is the time between two barriers.
	Interval time.Duration
	// Eager begins the next epoch as soon as the last one has gone through:
	// for a flow without state whose source waits for acknowledgements.
	Eager bool
	// MaxRecords and MaxBytes bound an epoch and the snapshots in flight; 0
	// is the default.
	MaxRecords uint64
	MaxBytes   int
	// Retention is how long verdicts on deliveries with an id are kept at
	// least; 0 is the default.
	Retention time.Duration
}

// SourceLimits is what the clock needs to know of a source.
type SourceLimits struct {
	Name string
	// Prefetch bounds its unsettled deliveries; 0: no bound. At half of it a
	// barrier goes out at once; when it is exhausted, as flush.
	Prefetch int
}

// MaxRecords bounds the records of an epoch, unless [Config] says otherwise.
const MaxRecords = 1 << 20

const (
	defaultMaxBytes = 64 << 20
	// usualTravelling is how many barriers are on their way at a time. Two let
	// the next epoch fill while the last one is made durable.
	usualTravelling = 2
	// retryHeld is how soon a barrier follows one that found records held,
	// when nothing else asks for one.
	retryHeld = 10 * time.Millisecond
	// defaultRetention is far beyond the time that a broker needs to deliver
	// again what was committed when its acknowledgement was lost.
	defaultRetention = time.Hour
	// forgetEvery is how often old verdicts are looked for.
	forgetEvery = time.Minute
)

// MaxTravelling bounds the barriers on their way at a time, those of a drain
// and of the end included, which do not wait for the usual ones.
const MaxTravelling = 4

// Hooks are what the coordinator asks of the graph.
type Hooks struct {
	// Inject gives a barrier to every source's stream. It does not block.
	Inject func(record.Barrier)
	// Sync makes what went to sinks outside of the flow's paths (dead
	// letters, late records) durable.
	Sync func(ctx context.Context) error
	// Settle settles one source.
	Settle func(ctx context.Context, source int, s Settle) error
	// Committed is told of every commit. It does not block.
	Committed func(Done, time.Duration)
}

// Coordinator clocks the epochs of one graph and commits them. Its methods
// are safe for concurrent use.
type Coordinator struct {
	config Config
	hooks  Hooks
	wake   chan struct{}

	sent    []atomic.Uint64 // by source: the last sequence number sent
	settled []atomic.Uint64
	stirred atomic.Bool                   // since the last barrier, by no record
	grown   atomic.Bool                   // a state wants to be saved, since the last barrier
	room    atomic.Pointer[chan struct{}] // see Room
	hurried atomic.Bool                   // what was read is to be committed without delay

	mu       sync.Mutex
	epochs   *Epochs
	full     int    // states for which the sources are to wait
	began    uint64 // records sent when the last barrier began
	last     time.Time
	forget   time.Time // when to look for old verdicts next
	finished int       // sources at their end
	ending   bool      // the input is to count as ended
	ended    bool      // the end barrier is on its way
	draining []chan error
	parked   bool     // a drain barrier has been sent, and nothing follows
	drain    uint64   // the epoch of the last drain or end barrier; 0: none was sent
	drained  bool     // and it is committed
	partial  []string // stages to empty with another drain barrier, while parked
	failed   error
	cancel   context.CancelFunc // ends waits of Run; nil before Run
}

// New makes a coordinator. Run starts it.
func New(c Config, h Hooks) *Coordinator {
	if c.MaxRecords == 0 {
		c.MaxRecords = MaxRecords
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.Retention == 0 {
		c.Retention = defaultRetention
	}
	names := make([]string, len(c.Sources))
	for i, s := range c.Sources {
		names[i] = s.Name
	}
	return &Coordinator{
		config: c, hooks: h, wake: make(chan struct{}, 1), epochs: NewEpochs(names, c.Sinks),
		sent: make([]atomic.Uint64, len(names)), settled: make([]atomic.Uint64, len(names)),
		last: c.Clock.Now(), forget: c.Clock.Now().Add(c.Retention),
	}
}

var (
	// ErrAborted is the reason of a run that was ended without commit.
	ErrAborted = errors.New("aborted")
	// ErrResumed is the error of a Drain that a Resume came before.
	ErrResumed = errors.New("resumed before everything was drained")
)

// Run clocks and commits epochs until the end of input is committed (nil), a
// commit fails or [Coordinator.Fail] is called (its error), or ctx is done
// ([ErrAborted]). What is not committed by then stays uncommitted.
func (c *Coordinator) Run(ctx context.Context) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.cancel = cancel
	c.mu.Unlock()
	timer := c.config.Clock.NewTimer(c.config.Interval)
	defer timer.Stop()
	for {
		if err := c.over(ctx); err != nil {
			return err
		}
		end, err := c.commit(ctx, waiting)
		if err != nil || end {
			return err
		}
		b, wait, err := c.next()
		if err != nil {
			return err
		}
		if b.Kind != record.None {
			c.hooks.Inject(b)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ErrAborted
		case <-c.wake:
		case <-timer.C():
		}
	}
}

// over is why nothing may be committed any more; nil while it may.
func (c *Coordinator) over(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return c.failed
	}
	if ctx.Err() != nil {
		return ErrAborted
	}
	return nil
}

// commit commits what is complete, in order, and says whether that was the
// end. waiting is ctx, and done as well when something has failed: what is not
// stored yet then never will be, while what is stored is settled.
func (c *Coordinator) commit(ctx, waiting context.Context) (end bool, err error) {
	c.mu.Lock()
	done, ok := c.epochs.Complete()
	c.mu.Unlock()
	if !ok {
		return false, nil
	}
	start := c.config.Clock.Now()
	err = c.hooks.Sync(waiting)
	if over := c.over(ctx); over != nil {
		return false, over
	}
	if err != nil {
		return false, err
	}
	done.Commit.Flow = c.config.Flow
	done.Commit.Restart = done.Kind == record.End
	for i, s := range done.Settle {
		done.Settled += max(s.Upto, c.settled[i].Load()) - c.settled[i].Load()
	}
	// Only what is stored may be acknowledged.
	if err := c.config.Store.Commit(done.Commit); err != nil {
		return false, fmt.Errorf("commit epoch %d: %w", done.Commit.Epoch, err)
	}
	if err := c.settle(ctx, done.Settle); err != nil {
		if over := c.over(ctx); over != nil {
			err = over
		}
		return false, err
	}
	if err := c.forgetOld(len(done.Commit.Verdicts) > 0); err != nil {
		return false, err
	}
	if c.hooks.Committed != nil {
		c.hooks.Committed(done, c.config.Clock.Now().Sub(start))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drain > 0 && done.Commit.Epoch >= c.drain {
		c.drained = true
		c.answer(nil)
	}
	return done.Kind == record.End, nil
}

// settle settles every source, also behind one that fails: what is stored is
// not to be delivered again.
func (c *Coordinator) settle(ctx context.Context, all []Settle) error {
	var errs []error
	for i, s := range all {
		if s.Upto <= c.settled[i].Load() {
			continue
		}
		if err := c.hooks.Settle(ctx, i, s); err != nil {
			errs = append(errs, fmt.Errorf("settle %s: %w", c.config.Sources[i].Name, err))
			continue
		}
		c.settled[i].Store(s.Upto)
	}
	return errors.Join(errs...)
}

// answer ends the calls of Drain and End that wait.
func (c *Coordinator) answer(err error) {
	for _, d := range c.draining {
		d <- err
	}
	c.draining = nil
}

// forgetOld drops verdicts that are older than the retention. The process has
// then run for as long itself: what was unsettled when it started has come
// again by now.
func (c *Coordinator) forgetOld(some bool) error {
	now := c.config.Clock.Now()
	if !some || now.Before(c.forget) {
		return nil
	}
	c.forget = now.Add(forgetEvery)
	for _, s := range c.config.Sources {
		if err := c.config.Store.Forget(c.config.Flow, s.Name, now.Add(-c.config.Retention).UnixNano()); err != nil {
			return fmt.Errorf("forget old verdicts of %s: %w", s.Name, err)
		}
	}
	return nil
}

// Verdict is what became of a delivery that was committed before.
func (c *Coordinator) Verdict(source int, id string) (v Verdict, ok bool, err error) {
	return c.config.Store.Verdict(c.config.Flow, c.config.Sources[source].Name, id)
}

// From says that a source's records up to seq were settled before, in an
// earlier graph over the same session. It is to be called before Run.
func (c *Coordinator) From(source int, seq uint64) {
	c.sent[source].Store(seq)
	c.settled[source].Store(seq)
	c.began = c.total()
}

// Unsettled is the number of records that have been sent and not settled.
func (c *Coordinator) Unsettled() (n uint64) {
	for i := range c.sent {
		settled := c.settled[i].Load() // first: it never passes what was sent before
		n += c.sent[i].Load() - settled
	}
	return n
}

// Settled is the last settled sequence number of a source.
func (c *Coordinator) Settled(source int) uint64 { return c.settled[source].Load() }

// Finished says that a source has ended. Its stream goes on with time and
// barriers until every source has.
func (c *Coordinator) Finished() {
	c.mu.Lock()
	c.finished++
	c.mu.Unlock()
	c.notify()
}

// Mark says where a source was at barrier k, before the barrier is sent on.
func (c *Coordinator) Mark(k uint64, source int, m Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs.Mark(k, source, m)
}

// Snapshot adds what a state changed in epoch k, before the barrier is sent on.
func (c *Coordinator) Snapshot(k uint64, d *Delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs.Snapshot(k, d)
}

// Reject says that a delivery is to be rejected with its epoch.
func (c *Coordinator) Reject(source int, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs.Reject(source, seq)
}

// Durable says that a sink has made everything before barrier b durable.
func (c *Coordinator) Durable(sink int, b record.Barrier) {
	c.mu.Lock()
	c.epochs.Durable(sink, b)
	c.mu.Unlock()
	c.notify()
}

// Fail ends the run with an error. The first one counts.
func (c *Coordinator) Fail(err error) {
	c.mu.Lock()
	if c.failed == nil {
		c.failed = err
	}
	if c.cancel != nil {
		c.cancel()
	}
	c.mu.Unlock()
	c.notify()
}

// Drain has everything that was read so far done and committed, and nothing
// more read. It returns when that is committed; then the graph is parked
// until Resume. With the error of ctx the drain is still under way, and Resume
// calls it off.
func (c *Coordinator) Drain(ctx context.Context) error { return c.wait(ctx, false) }

// End has everything that was read so far done and committed as if the input
// had ended there: every window closes, and there is nothing to resume.
func (c *Coordinator) End(ctx context.Context) error { return c.wait(ctx, true) }

// Empty has stages emit what their state holds and forget it, while nothing
// is read: it is to follow a Drain that has succeeded.
func (c *Coordinator) Empty(ctx context.Context, stages []string) error {
	c.mu.Lock()
	c.partial, c.drained = stages, false
	c.mu.Unlock()
	return c.wait(ctx, false)
}

func (c *Coordinator) wait(ctx context.Context, end bool) error {
	done := make(chan error, 1)
	c.mu.Lock()
	if c.drained && (c.ended || c.parked && !end) {
		c.mu.Unlock()
		return nil // nothing was read since
	}
	c.draining = append(c.draining, done)
	c.ending = c.ending || end
	c.mu.Unlock()
	c.notify()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Resume lets barriers go out again behind a Drain, and calls off one that is
// under way. It returns the epoch of the last drain barrier, behind which the
// sources are to go on; 0 when none was sent.
func (c *Coordinator) Resume() (epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parked {
		epoch = c.drain
	}
	c.parked, c.drained = false, false
	c.answer(ErrResumed)
	c.notify()
	return epoch
}
