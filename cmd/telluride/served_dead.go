package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/deadletter"
)

var _ api.DeadLetters = served{}

// deadOf is where the dead letters of a running flow are.
func (s served) deadOf(flow string) (*deadOf, []string, error) {
	p, ok := s.host.PlanOf(flow)
	if !ok {
		return nil, nil, fmt.Errorf("flow %q does not run", flow)
	}
	places, closed := deadPlaces(p)
	return &deadOf{plan: p, flow: flow, places: places}, closed, nil
}

func (s served) ListDead(ctx context.Context, flow string, f deadletter.Filter) (api.DeadList, error) {
	of, closed, err := s.deadOf(flow)
	if err != nil {
		return api.DeadList{}, err
	}
	list := api.DeadList{Notes: closed, Counted: slices.ContainsFunc(of.places, func(p deadPlace) bool { return p.peeked })}
	err = selectIn(ctx, of, f, func(l *deadletter.Letter) error {
		list.Letters = append(list.Letters, l)
		return nil
	}, func(place deadPlace, left deadletter.Left) {
		list.Notes = append(list.Notes, leftNotes(place, left)...)
	})
	return list, err
}

func (s served) ReplayDead(ctx context.Context, flow string, f deadletter.Filter, origin bool, perSecond int) (deadletter.Result, error) {
	of, _, err := s.deadOf(flow)
	if err != nil {
		return deadletter.Result{}, err
	}
	to := newIntoSources(of.plan, deadRuntime(flow, true), origin)
	result, err := settleIn(ctx, of, f, func(store deadletter.Store, f deadletter.Filter) (deadletter.Result, error) {
		return deadletter.Replay(ctx, store, to, f, perSecond)
	}, func(deadPlace, deadletter.Left) {})
	return result, errors.Join(err, to.Close())
}

func (s served) DropDead(ctx context.Context, flow string, f deadletter.Filter) (deadletter.Result, error) {
	of, _, err := s.deadOf(flow)
	if err != nil {
		return deadletter.Result{}, err
	}
	return settleIn(ctx, of, f, func(store deadletter.Store, f deadletter.Filter) (deadletter.Result, error) {
		return deadletter.Drop(ctx, store, f)
	}, func(deadPlace, deadletter.Left) {})
}
