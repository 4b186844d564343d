package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a coordinator with one source and one sink that the test plays, and
// a log of what the coordinator asks for, in order.
type rig struct {
	*Coordinator
	log      []string
	barriers []record.Barrier
	store    *failingStore
	ended    chan error
	cancel   context.CancelFunc
}

type failingStore struct {
	*Memory
	fail error
	log  *[]string
}

func (s *failingStore) Commit(c Commit) error {
	if s.fail != nil {
		return s.fail
	}
	*s.log = append(*s.log, fmt.Sprintf("store %d", c.Epoch))
	return s.Memory.Commit(c)
}

func start(c Config) *rig {
	r := &rig{ended: make(chan error, 1)}
	r.store = &failingStore{Memory: NewMemory(), log: &r.log}
	c.Flow, c.Store, c.Clock, c.Sinks = "f", r.store, clock.System{}, 1
	if c.Sources == nil {
		c.Sources = []SourceLimits{{Name: "s"}}
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	r.Coordinator = New(c, Hooks{
		Inject: func(b record.Barrier) { r.barriers = append(r.barriers, b) },
		Sync:   func(context.Context) error { r.log = append(r.log, "sync"); return nil },
		Settle: func(_ context.Context, _ int, s Settle) error {
			r.log = append(r.log, fmt.Sprintf("settle %d %v", s.Upto, s.Rejected))
			return nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.Run(ctx) }()
	synctest.Wait()
	return r
}

// back plays the barrier's way through the graph: marked at seq, and durable.
func (r *rig) back(b record.Barrier, seq uint64) {
	r.Mark(b.Epoch, 0, Mark{Seq: seq})
	r.Durable(0, b)
	synctest.Wait()
}

func (r *rig) last(t *testing.T, n int, kind record.BarrierKind) record.Barrier {
	t.Helper()
	synctest.Wait()
	if len(r.barriers) != n {
		t.Fatalf("%d barriers went out, want %d: %v", len(r.barriers), n, r.barriers)
	}
	if b := r.barriers[n-1]; b.Kind != kind {
		t.Fatalf("barrier %v, want %v", b.Kind, kind)
	}
	return r.barriers[n-1]
}

func TestNothingIsSettledBeforeItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		r.Sent(0, 3)
		r.Reject(0, 2)
		time.Sleep(time.Second)
		r.back(r.last(t, 1, record.Checkpoint), 3)
		if want := []string{"sync", "store 1", "settle 3 [2]"}; !slices.Equal(r.log, want) {
			t.Fatalf("the order is %v, want %v", r.log, want)
		}
		r.cancel()
		if err := <-r.ended; !errors.Is(err, ErrAborted) {
			t.Fatal(err)
		}
	})
}

func TestAFailedCommitSettlesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		r.store.fail = errors.New("disk full")
		r.Sent(0, 3)
		time.Sleep(time.Second)
		r.back(r.last(t, 1, record.Checkpoint), 3)
		if err := <-r.ended; !errors.Is(err, r.store.fail) {
			t.Fatalf("ended with %v", err)
		}
		if want := []string{"sync"}; !slices.Equal(r.log, want) {
			t.Fatalf("did %v", r.log)
		}
		if r.Unsettled() != 3 {
			t.Fatalf("%d records unsettled", r.Unsettled())
		}
	})
}

func TestAnIdleFlowHasNoEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(r.barriers) != 0 {
			t.Fatalf("barriers %v", r.barriers)
		}
		r.cancel()
		<-r.ended
	})
}

func TestAnEagerFlowClocksItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Eager: true, Interval: time.Hour, Sources: []SourceLimits{{"s", 100}}})
		r.Sent(0, 1)
		first := r.last(t, 1, record.Checkpoint)
		r.Sent(0, 5)
		r.last(t, 1, record.Checkpoint) // not before the first is back
		r.back(first, 1)
		r.back(r.last(t, 2, record.Checkpoint), 5)
		if r.Unsettled() != 0 {
			t.Fatalf("%d unsettled", r.Unsettled())
		}
		r.cancel()
		<-r.ended
	})
}

func TestHalfOfThePrefetchCallsForABarrierAndAllOfItForAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Interval: time.Hour, Sources: []SourceLimits{{"s", 10}}})
		r.Sent(0, 4)
		synctest.Wait()
		if len(r.barriers) != 0 {
			t.Fatal("a barrier went out too early")
		}
		r.Sent(0, 5)
		half := r.last(t, 1, record.Checkpoint)
		r.Sent(0, 10)
		half.Held = 1 // a stage holds what it has
		r.back(half, 5)
		if slices.Contains(r.log, "store 1") {
			t.Fatal("a held epoch was committed")
		}
		r.back(r.last(t, 2, record.Flush), 10)
		if want := []string{"sync", "store 2", "settle 10 []"}; !slices.Equal(r.log, want) {
			t.Fatalf("did %v, want %v", r.log, want)
		}
		r.cancel()
		<-r.ended
	})
}

func TestAStateThatHasGrownIsSavedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Interval: time.Hour})
		r.Sent(0, 5)
		r.Grown()
		first := r.last(t, 1, record.Checkpoint)
		r.last(t, 1, record.Checkpoint) // once
		r.Sent(0, 7)
		r.Grown() // by another lane, say, while the first is on its way
		second := r.last(t, 2, record.Checkpoint)
		r.Grown()
		r.last(t, 2, record.Checkpoint) // two are enough
		r.back(first, 5)
		third := r.last(t, 3, record.Checkpoint)
		r.back(second, 7)
		r.back(third, 7)
		r.cancel()
		<-r.ended
	})
}

func TestAStateThatHasGrownByItselfIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		r.Grown() // no record was sent
		r.back(r.last(t, 1, record.Checkpoint), 0)
		r.last(t, 1, record.Checkpoint)
		r.cancel()
		<-r.ended
	})
}

func TestThereIsRoomWhenNoStateIsFull(t *testing.T) {
	c := New(Config{Clock: clock.System{}}, Hooks{})
	if c.Room() != nil {
		t.Error("the sources wait from the start")
	}
	c.Full(true)
	c.Full(true)
	room := c.Room()
	c.Full(false)
	select {
	case <-room:
		t.Error("the sources go on while a state is full")
	default:
	}
	c.Full(false)
	<-room
	if c.Room() != nil {
		t.Error("the sources wait still")
	}
}

func TestAHeldEpochIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		r.Sent(0, 1)
		time.Sleep(time.Second)
		b := r.last(t, 1, record.Checkpoint)
		b.Held = 1
		r.back(b, 1)
		time.Sleep(time.Second)
		r.back(r.last(t, 2, record.Checkpoint), 1)
		if r.Unsettled() != 0 {
			t.Fatal("the held record was not settled, though it was let go")
		}
		r.cancel()
		<-r.ended
	})
}

func TestDrainReturnsWhenItsEpochIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Interval: time.Hour})
		r.Sent(0, 1)
		drained := make(chan error, 1)
		go func() { drained <- r.Drain(t.Context()) }()
		b := r.last(t, 1, record.Drain)
		select {
		case <-drained:
			t.Fatal("drained before the barrier was back")
		default:
		}
		r.back(b, 1)
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		r.Sent(0, 2)
		time.Sleep(3 * time.Hour)
		r.last(t, 1, record.Drain) // parked: nothing follows
		r.Resume()
		r.last(t, 2, record.Checkpoint)
		r.cancel()
		<-r.ended
	})
}

func TestADrainGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Interval: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		r.cancel()
		<-r.ended
	})
}

func TestTheEndIsCommittedAndLeavesNothingToResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		r.Sent(0, 2)
		r.Finished()
		r.back(r.last(t, 1, record.End), 2)
		if err := <-r.ended; err != nil {
			t.Fatal(err)
		}
		if _, ok, _ := r.store.Last("f"); ok {
			t.Fatal("there is something to resume")
		}
		if r.Unsettled() != 0 {
			t.Fatal("the end was not settled")
		}
		r.cancel()
	})
}

func TestAFailureEndsTheRunWithoutACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		r.Sent(0, 2)
		broken := errors.New("sink is broken")
		r.Fail(broken)
		r.Fail(errors.New("a later one"))
		if err := <-r.ended; !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if len(r.log) != 0 {
			t.Fatalf("did %v", r.log)
		}
		r.cancel()
	})
}

// A sink of dead letters may be away for ever; a stop, or the failure of
// another sink, does not wait for it.
func TestNothingWaitsForASyncThatDoesNotEnd(t *testing.T) {
	broken := errors.New("sink is broken")
	for name, end := range map[string]struct {
		do   func(*rig)
		want error
	}{
		"stop":    {func(r *rig) { r.cancel() }, ErrAborted},
		"failure": {func(r *rig) { r.Fail(broken) }, broken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(Config{})
				r.hooks.Sync = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
				r.Sent(0, 1)
				time.Sleep(time.Second)
				r.back(r.last(t, 1, record.Checkpoint), 1)
				end.do(r)
				synctest.Wait()
				select {
				case err := <-r.ended:
					if !errors.Is(err, end.want) || len(r.log) != 0 {
						t.Errorf("ended with %v after %v", err, r.log)
					}
				default:
					t.Fatal("still waits")
				}
				r.cancel()
			})
		})
	}
}

func TestASourceThatCannotSettleDoesNotKeepOthersFromIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Sources: []SourceLimits{{Name: "a"}, {Name: "b"}}})
		lost := errors.New("connection lost")
		r.hooks.Settle = func(_ context.Context, i int, s Settle) error {
			r.log = append(r.log, fmt.Sprint("settle ", i, " ", s.Upto))
			if i == 0 {
				return lost
			}
			return nil
		}
		r.Sent(0, 1)
		r.Sent(1, 2)
		time.Sleep(time.Second)
		b := r.last(t, 1, record.Checkpoint)
		r.Mark(b.Epoch, 1, Mark{Seq: 2})
		r.back(b, 1)
		if err := <-r.ended; !errors.Is(err, lost) {
			t.Fatal(err)
		}
		if want := []string{"sync", "store 1", "settle 0 1", "settle 1 2"}; !slices.Equal(r.log, want) {
			t.Errorf("did %v, want %v", r.log, want)
		}
		r.cancel()
	})
}

func TestTimeIsCommittedAsTheStreamHadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{})
		r.Sent(0, 1)
		time.Sleep(time.Second)
		b := r.last(t, 1, record.Checkpoint)
		ahead := time.Now().Add(time.Hour).UnixNano() // the clock was set back since
		r.Mark(b.Epoch, 0, Mark{Seq: 1, Now: ahead, Position: []byte("p")})
		r.Durable(0, b)
		synctest.Wait()
		if last, _, _ := r.store.Last("f"); last.Now != ahead {
			t.Errorf("a restart would begin %v earlier than the stream was", time.Duration(ahead-last.Now))
		}
		r.cancel()
		<-r.ended
	})
}

func TestADrainOfAParkedGraphIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Interval: time.Hour})
		drained := make(chan error, 3)
		drain := func() { drained <- r.Drain(t.Context()) }
		go drain()
		b := r.last(t, 1, record.Drain)
		go drain() // while the first is under way
		synctest.Wait()
		r.back(b, 0)
		go drain() // and when it is over
		for range 3 {
			if err := <-drained; err != nil {
				t.Fatal(err)
			}
		}
		r.last(t, 1, record.Drain)
		r.cancel()
		<-r.ended
	})
}

// A drain that took too long may be called off at any time: nothing parks
// again because of it.
func TestResumeCallsOffADrainThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Interval: time.Second})
		r.Sent(0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		waiting := make(chan error, 1)
		go func() { waiting <- r.Drain(t.Context()) }()
		if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		b := r.last(t, 1, record.Drain)
		if epoch := r.Resume(); epoch != b.Epoch {
			t.Errorf("the sources go on behind epoch %d, want %d", epoch, b.Epoch)
		}
		if err := <-waiting; !errors.Is(err, ErrResumed) {
			t.Errorf("the other drain ended with %v", err)
		}
		r.back(b, 1)
		r.Sent(0, 2)
		time.Sleep(time.Second)
		r.last(t, 2, record.Checkpoint)
		if epoch := r.Resume(); epoch != 0 {
			t.Errorf("a second Resume names epoch %d", epoch)
		}
		r.cancel()
		<-r.ended
	})
}

func TestBarriersOnTheirWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(Config{Interval: time.Second})
		for i := range uint64(20) {
			r.Sent(0, i+1)
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = r.Drain(ctx)
			cancel()
			r.Resume()
		}
		if n := len(r.barriers); n != MaxTravelling {
			t.Errorf("%d barriers are on their way, want %d", n, MaxTravelling)
		}
		r.cancel()
		<-r.ended
	})
}
