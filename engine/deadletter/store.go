package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Store is a place where dead letters are kept. One goroutine uses it.
type Store interface {
	// Read calls each for the letters that wait there, oldest first, until it
	// says to stop. The letters are the caller's.
	Read(ctx context.Context, each func(*Letter) (more bool, err error)) (Left, error)
	// Settle takes letters, of a Read of this store that may still be under
	// way, out of it. Behind it they are gone durably.
	Settle(ctx context.Context, letters []*Letter, how Fate) error
	// Close leaves what was not settled in the store.
	Close() error
}

// Left is what a Read did not show.
type Left struct {
	// Foreign counts what lies there and is no dead letter.
	Foreign int `json:"foreign,omitempty"`
	// Unread says that the store shows no more at a time.
	Unread bool `json:"unread,omitempty"`
}

// Fate is why a letter leaves its store.
type Fate string

const (
	Replayed Fate = "replayed"
	Dropped  Fate = "dropped"
)

// Target has letters processed again.
type Target interface {
	// Send hands letters over, in their order, and returns how many of them
	// are sure to arrive: the first n. A letter may arrive twice when Send
	// fails; it then has the same message id.
	Send(ctx context.Context, letters []*Letter) (n int, err error)
	Close() error
}

// Filter says which letters are meant. The zero Filter means all.
type Filter struct {
	// IDs are ids or beginnings of ids; empty: any.
	IDs []string `json:"ids,omitempty"`
	// Stage is the stage that the letters died at.
	Stage string `json:"stage,omitempty"`
	// Reason is a part of the reason, whatever its case.
	Reason string `json:"reason,omitempty"`
	// Since is when they died at the earliest.
	Since time.Time `json:"since,omitzero"`
	// Limit is how many are meant at most; 0: all.
	Limit int `json:"limit,omitempty"`
}

// Empty says that the filter leaves nothing out, whatever its limit.
func (f *Filter) Empty() bool {
	return len(f.IDs) == 0 && f.Stage == "" && f.Reason == "" && f.Since.IsZero()
}

// Match says whether a letter is meant.
func (f *Filter) Match(l *Letter) bool {
	if f.Stage != "" && l.Stage != f.Stage || l.Time.Before(f.Since) {
		return false
	}
	if f.Reason != "" && !strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.Reason)) {
		return false
	}
	for _, id := range f.IDs {
		if id != "" && strings.HasPrefix(l.ID, id) {
			return true
		}
	}
	return len(f.IDs) == 0
}

// Select calls each for the letters of a store that a filter means.
func Select(ctx context.Context, s Store, f Filter, each func(*Letter) error) (Left, error) {
	n := 0
	return s.Read(ctx, func(l *Letter) (bool, error) {
		if !f.Match(l) {
			return true, nil
		}
		n++
		err := each(l)
		return f.Limit <= 0 || n < f.Limit, err
	})
}

// Result is what became of the letters that a filter means.
type Result struct {
	// Done counts those that were replayed or dropped.
	Done int `json:"done"`
	// Repeats counts those that were taken out because the same letter, by
	// its id, was replayed already: a record may die twice in a crash.
	Repeats int  `json:"repeats,omitempty"`
	Left    Left `json:"left,omitzero"`
}

// batchSize is how many letters are on their way at a time.
const batchSize = 100

// Replay has the letters that a filter means processed again, oldest first,
// perSecond at most (0: no bound). A letter leaves the store once it is sure
// to arrive: what fails is still there, and another Replay goes on with it.
func Replay(ctx context.Context, s Store, to Target, f Filter, perSecond int) (Result, error) {
	r := replay{store: s, to: to, sent: map[string]bool{}, size: batchSize}
	if perSecond > 0 {
		r.size = max(1, min(batchSize, perSecond/10))
		r.pace = rate.NewLimiter(rate.Limit(perSecond), r.size)
	}
	left, err := Select(ctx, s, f, func(l *Letter) error {
		r.batch = append(r.batch, l)
		if len(r.batch) < r.size {
			return nil
		}
		return r.flush(ctx)
	})
	if err == nil {
		err = r.flush(ctx)
	}
	r.result.Left = left
	return r.result, err
}

type replay struct {
	store  Store
	to     Target
	pace   *rate.Limiter // nil: none
	size   int
	batch  []*Letter
	sent   map[string]bool
	result Result
}

func (r *replay) flush(ctx context.Context) error {
	var send, repeats []*Letter
	for _, l := range r.batch {
		if r.sent[l.ID] && !l.Vague {
			repeats = append(repeats, l)
			continue
		}
		r.sent[l.ID] = true
		send = append(send, l)
	}
	r.batch = nil
	if r.pace != nil && len(send) > 0 {
		if err := r.pace.WaitN(ctx, len(send)); err != nil {
			return err
		}
	}
	n := 0
	var err error
	if len(send) > 0 {
		n, err = r.to.Send(ctx, send)
	}
	// What has arrived is taken out also when the rest has failed, and when
	// the caller has had enough.
	settle := send[:n]
	if err == nil {
		settle = append(settle, repeats...)
		r.result.Repeats += len(repeats)
	}
	r.result.Done += n
	if len(settle) == 0 {
		return err
	}
	if settling := r.store.Settle(context.WithoutCancel(ctx), settle, Replayed); settling != nil {
		err = errors.Join(err, fmt.Errorf("%d letters were replayed and could not be marked as such: %w", n, settling))
	}
	return err
}

// Drop removes the letters that a filter means.
func Drop(ctx context.Context, s Store, f Filter) (Result, error) {
	var result Result
	var batch []*Letter
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := s.Settle(ctx, batch, Dropped)
		if err == nil {
			result.Done += len(batch)
		}
		batch = nil
		return err
	}
	left, err := Select(ctx, s, f, func(l *Letter) error {
		l.Payload, l.Meta = nil, nil
		if batch = append(batch, l); len(batch) < batchSize {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	result.Left = left
	return result, err
}
