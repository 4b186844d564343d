package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/topology"
)

// served is a host as the API sees it.
type served struct {
	host    *engine.Host
	changes *changes
}

func (s served) Submit(c change.Change) <-chan change.Receipt { return s.changes.submit(c) }

func (s served) Plan(c change.Change) api.Preview {
	d, next, list := s.host.Plan(c)
	p := api.Preview{
		Flow: c.Flow, OK: next != nil && !list.HasErrors(),
		Sources: d.Sources, Stages: d.Stages, Diagnostics: change.Problems(list),
	}
	if next != nil {
		p.Flow, p.After = next.Name, next.Version
	}
	for _, f := range s.host.Status() {
		if f.Name == p.Flow {
			p.Before = f.Version
		}
	}
	return p
}

func (s served) Measure() []api.Measured {
	var all []api.Measured
	for _, m := range s.host.Measure() {
		one := api.Measured{Snapshot: m.Snapshot, Name: m.Plan.Name, Version: m.Plan.Version, State: m.State, Reason: m.Reason}
		for _, side := range []*plan.Sink{m.Plan.Dead, m.Plan.Late, m.Plan.Spare} {
			if side != nil {
				one.Sides = append(one.Sides, side.Name)
			}
		}
		inOrder(one.Stages, plan.Draw(m.Plan))
		all = append(all, one)
	}
	return all
}

// inOrder puts stages in the order of the flow; those that a change has
// removed stand last.
func inOrder(stages []telemetry.StageStats, d *plan.Drawing) {
	at := map[string]int{}
	for i, b := range append(append([]plan.Box{}, d.Boxes...), d.Sides...) {
		at[b.Row+"/"+b.Name] = i - len(d.Boxes) - len(d.Sides)
	}
	slices.SortStableFunc(stages, func(a, b telemetry.StageStats) int {
		return cmp.Compare(at[a.Kind+"/"+a.Name], at[b.Kind+"/"+b.Name])
	})
}

func (s served) Drawing(flow string) (*plan.Drawing, bool) {
	p, ok := s.host.PlanOf(flow)
	if !ok {
		return nil, false
	}
	return plan.Draw(p), true
}

func (s served) Files(flow string) []api.File {
	p, _ := s.host.PlanOf(flow)
	past, _ := s.host.Past(flow)
	var all []api.File
	for _, v := range past {
		all = append(all, api.File{Flow: flow, File: p.File, Version: v.Version, Source: string(v.Source), FromFile: v.FromFile, Since: v.Since.UTC()})
	}
	return all
}

func (s served) Pause(ctx context.Context, flow string) error { return s.host.Pause(ctx, flow) }
func (s served) Continue(flow string) error                   { return s.host.Continue(flow) }

func (s served) Values(ctx context.Context, flow, stage string, q api.ValuesQuery) (api.Values, error) {
	view, err := s.host.View(ctx, flow, stage, topology.Question{Find: q.Find, After: q.After, Limit: q.Limit})
	v := api.Values{Stage: stage, Keys: view.Keys, Found: view.Found, Rows: []api.Row{}, More: view.More}
	for _, r := range view.Rows {
		v.Rows = append(v.Rows, api.Row{Key: r.Key, Values: r.Values, Records: r.Records, Of: r.Of, More: r.More})
	}
	return v, err
}

func (s served) Tap(flow string, places []string, where string) (api.Tap, error) {
	t := &tapped{}
	if where != "" {
		var err error
		if t.where, err = topology.NewWhere(where); err != nil {
			return nil, fmt.Errorf("where: %w", err)
		}
	}
	tap, err := s.host.Tap(flow, places)
	t.Tap = tap
	return t, err
}

// tapped is a tap as the API sees it.
type tapped struct {
	*topology.Tap
	where *topology.Where
}

func (t *tapped) Next(ctx context.Context) (text []byte, wanted bool, err error) {
	s, err := t.Tap.Next(ctx)
	if err != nil || !t.where.Holds(s) {
		return nil, false, err
	}
	text, err = json.Marshal(s)
	return text, true, err
}

func (s served) Status() []api.Flow { return s.host.Status() }

// service is what runs beside the flows: the watch over their files, or the API.
type service struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// stop ends the service and waits for it.
func (s *service) stop() {
	s.cancel()
	s.wg.Wait()
}

func startService(run func(context.Context) error, log *slog.Logger, name string) *service {
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{cancel: cancel}
	s.wg.Go(func() {
		if err := run(ctx); err != nil {
			log.Error(name, "error", err)
		}
	})
	return s
}

// watch is the feed of the files that a run was given.
func watch(paths []string, flows []loaded, log *slog.Logger) change.Feed {
	known := map[string]change.Known{}
	for _, f := range flows {
		known[f.file] = change.Known{Flow: f.plan.Name, Source: f.src}
	}
	return change.Watch(paths, change.WatchOptions{
		Known: known, Log: log,
		Name: func(file string, src []byte) string {
			name, _ := (&loaded{file: file, src: src}).declares()
			return name
		},
		Whole: func(file string, src []byte) bool {
			var list diag.List
			conf.Parse(file, src, conf.Limits{}, &list)
			return !list.HasErrors()
		},
	})
}
