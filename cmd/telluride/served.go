package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
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
