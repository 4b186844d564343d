package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// deadPlace is a place where the dead letters of a flow are.
type deadPlace struct {
	what   string // for people: file broken.ndjson
	source string // whose rejected deliveries they are; "": of all
	peeked bool   // looking at them takes them out for a moment
	open   stage.Letters
}

// deadPlaces are the places that a flow's dead letters go to, and why some of
// them cannot be looked into.
func deadPlaces(p *plan.Plan) (places []deadPlace, closed []string) {
	sink := func(s *plan.Sink) {
		what := s.Kind + " " + s.Spec.Text
		if s.Spec.Letters == nil {
			closed = append(closed, fmt.Sprintf("dead letters in %s cannot be read back", what))
			return
		}
		places = append(places, deadPlace{what: what, peeked: s.Kind != "file", open: s.Spec.Letters})
	}
	if p.Dead != nil {
		sink(p.Dead)
		return places, closed
	}
	for i := range p.Sources {
		switch s := &p.Sources[i]; {
		case s.Spec.Rejected != nil:
			places = append(places, deadPlace{what: "the dead-letter queue of source " + s.Name, source: s.Name, peeked: true, open: s.Spec.Rejected})
		case s.Spec.Rejects:
			closed = append(closed, fmt.Sprintf("source %s rejects dead letters, and the flow does not say into which queue the broker moves them: name it with --queue", s.Name))
		}
	}
	if p.Spare != nil {
		sink(p.Spare)
	}
	return places, closed
}

// deadRuntime is what a place is opened with. settle says that letters are to
// be taken out.
func deadRuntime(flow string, settle bool) stage.Runtime {
	rt := stage.Runtime{Flow: flow, Name: "dead", Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)}
	if settle {
		rt.Lock = lockFile
	}
	return rt
}

// sourced is a store whose letters are of one source.
type sourced struct {
	deadletter.Store
	source string
}

func (s sourced) Read(ctx context.Context, each func(*deadletter.Letter) (bool, error)) (deadletter.Left, error) {
	return s.Store.Read(ctx, func(l *deadletter.Letter) (bool, error) {
		if l.Source == "" {
			l.Source = s.source
		}
		return each(l)
	})
}

// inDeadPlaces calls work for the store of every place, in their order.
func inDeadPlaces(ctx context.Context, places []deadPlace, rt stage.Runtime, work func(deadPlace, deadletter.Store) error) (err error) {
	for _, place := range places {
		store, err := place.open(ctx, rt)
		if err != nil {
			return fmt.Errorf("%s: %w", place.what, err)
		}
		err = work(place, sourced{store, place.source})
		if err = errors.Join(err, store.Close()); err != nil {
			return fmt.Errorf("%s: %w", place.what, err)
		}
	}
	return nil
}

// selectIn calls each for the letters that are meant, in all places, up to the
// filter's limit.
func selectIn(ctx context.Context, of *deadOf, f deadletter.Filter, each func(*deadletter.Letter) error, note func(deadPlace, deadletter.Left)) error {
	left := f
	return inDeadPlaces(ctx, of.places, deadRuntime(of.flow, false), func(place deadPlace, s deadletter.Store) error {
		if f.Limit > 0 && left.Limit == 0 {
			return nil
		}
		unseen, err := deadletter.Select(ctx, s, left, func(l *deadletter.Letter) error {
			if f.Limit > 0 {
				left.Limit--
			}
			return each(l)
		})
		note(place, unseen)
		return err
	})
}

// settleIn replays or drops letters in all places, up to the filter's limit.
func settleIn(ctx context.Context, of *deadOf, f deadletter.Filter,
	work func(deadletter.Store, deadletter.Filter) (deadletter.Result, error), note func(deadPlace, deadletter.Left),
) (all deadletter.Result, err error) {
	left := f
	err = inDeadPlaces(ctx, of.places, deadRuntime(of.flow, true), func(place deadPlace, s deadletter.Store) error {
		if f.Limit > 0 {
			if left.Limit = f.Limit - all.Done - all.Repeats; left.Limit <= 0 {
				return nil
			}
		}
		r, err := work(s, left)
		all.Done += r.Done
		all.Repeats += r.Repeats
		note(place, r.Left)
		return err
	})
	return all, err
}

// intoSources sends each letter to the source that it came from.
type intoSources struct {
	plan   *plan.Plan
	rt     stage.Runtime
	origin bool
	open   map[string]deadletter.Target
}

func newIntoSources(p *plan.Plan, rt stage.Runtime, origin bool) *intoSources {
	return &intoSources{p, rt, origin, map[string]deadletter.Target{}}
}

var _ deadletter.Target = (*intoSources)(nil)

// Send sends runs of letters of one source.
func (t *intoSources) Send(ctx context.Context, letters []*deadletter.Letter) (n int, err error) {
	for n < len(letters) {
		run := n + 1
		for run < len(letters) && letters[run].Source == letters[n].Source {
			run++
		}
		to, err := t.target(ctx, letters[n])
		if err != nil {
			return n, err
		}
		sent, err := to.Send(ctx, letters[n:run])
		n += sent
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (t *intoSources) target(ctx context.Context, l *deadletter.Letter) (deadletter.Target, error) {
	if to := t.open[l.Source]; to != nil {
		return to, nil
	}
	src, err := t.source(l)
	if err != nil {
		return nil, err
	}
	if src.Spec.Replay == nil {
		return nil, fmt.Errorf("source %s (%s) takes no records from outside: write them to a file with --to again.ndjson, and run the flow over that", src.Name, src.Kind)
	}
	to, err := src.Spec.Replay(ctx, t.rt, t.origin)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", src.Name, err)
	}
	t.open[l.Source] = to
	return to, nil
}

// source is the one that a letter came from; for a letter that does not say,
// the only one that there is.
func (t *intoSources) source(l *deadletter.Letter) (*plan.Source, error) {
	all := t.plan.Sources
	if i := slices.IndexFunc(all, func(s plan.Source) bool { return s.Name == l.Source }); i >= 0 {
		return &all[i], nil
	}
	if len(all) == 1 {
		return &all[0], nil
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("letter %s came from no source that the flow has (%s): write it to a file with --to, or to a queue with --to queue:NAME", l.ID, strings.Join(names, ", "))
}

func (t *intoSources) Close() error {
	var errs []error
	for _, to := range t.open {
		errs = append(errs, to.Close())
	}
	return errors.Join(errs...)
}
