package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine"
)

// runner waits for flows: it shows their progress, and drains or aborts them
// when it is told to.
type runner struct {
	flags    runFlags
	console  *console
	log      *slog.Logger
	host     *engine.Host
	changes  *changes
	watching *service

	grace time.Duration // see program

	flows []*engine.Flow        // those of the host; a change may bring others
	known map[*engine.Flow]bool // flows whose end is waited for, or was seen
	ends  chan *engine.Flow
	left  int  // flows that have not ended
	asked bool // the flows were asked to end
}

// follow waits for the ends of flows that have come since the last call.
func (r *runner) follow() {
	r.flows = r.host.Flows()
	for _, f := range r.flows {
		if r.known[f] {
			continue
		}
		r.known[f] = true
		r.left++
		go func() {
			<-f.Done()
			r.ends <- f
		}()
	}
}

// wait returns when every flow has ended, or was given up.
func (r *runner) wait(signals <-chan os.Signal) error {
	r.known, r.ends = map[*engine.Flow]bool{}, make(chan *engine.Flow)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var shown progress
	var drains sync.WaitGroup
	defer drains.Wait()
	draining, stopDraining := context.WithCancel(context.Background())
	defer stopDraining()
	var giveUp <-chan time.Time
	for r.follow(); r.left > 0 || r.changes.busy(); r.follow() {
		select {
		case f := <-r.ends:
			r.left--
			r.finished(f)
		case <-r.changes.answered:
		case <-tick.C:
			if !r.flags.quiet && r.console.errTerm {
				r.console.Progress(shown.line(r.flows, time.Now()))
			}
		case sig := <-signals:
			if !r.asked {
				r.asked = true
				r.drain(draining, &drains, sig)
				continue
			}
			if giveUp == nil {
				r.say("aborting…")
				stopDraining()
				r.stop()
				giveUp = time.After(r.grace)
			}
		case <-giveUp:
			r.abandon()
			return &exitError{code: exitFailed}
		}
	}
	stopDraining()
	drains.Wait()
	r.watching.stop()
	r.host.Close()
	r.changes.wait()
	return r.sumUp()
}

// abandon leaves behind the flows that do not end, and says so.
func (r *runner) abandon() {
	r.console.Progress("")
	for _, f := range r.running() {
		r.say(fmt.Sprintf("%s: a source or sink does not let go, so it was given up: %s read and not acknowledged",
			f.Current().Name, plural(int(f.Summary().Unsaved), "record")))
	}
	go func() {
		for range r.left {
			<-r.ends
		}
	}()
}

// drain takes no more changes, and lets the flows finish what they have read,
// until the deadline.
func (r *runner) drain(ctx context.Context, wg *sync.WaitGroup, sig os.Signal) {
	limit := ""
	if t := r.flags.drainTimeout; t > 0 {
		limit = fmt.Sprintf("up to %v; ", t)
	}
	r.say(fmt.Sprintf("%v: draining (%sagain to abort)…", sig, limit))
	wg.Go(func() {
		r.watching.stop()
		r.host.Close() // a change that has begun is finished
		for _, f := range r.host.Flows() {
			wg.Go(func() { r.drainFlow(ctx, f) })
		}
	})
}

func (r *runner) drainFlow(ctx context.Context, f *engine.Flow) {
	if t := r.flags.drainTimeout; t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	if err := f.Drain(ctx); err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			r.say(fmt.Sprintf("%s: not drained after %v", f.Current().Name, r.flags.drainTimeout))
		}
		f.Stop()
	}
}

func (r *runner) stop() { r.host.Stop() }

// running lists the flows that have not ended.
func (r *runner) running() []*engine.Flow {
	var flows []*engine.Flow
	for _, f := range r.flows {
		if f.Running() {
			flows = append(flows, f)
		}
	}
	return flows
}

// finished tells of a flow that ended while others run, or when no summary
// will tell of it.
func (r *runner) finished(f *engine.Flow) {
	if len(r.flows) == 1 && r.flags.form(r.console.errTerm) != "none" {
		return
	}
	how, err := outcome(f, r.askedOf(f))
	if err != nil {
		r.log.Error(how, "flow", f.Current().Name, "error", err)
		return
	}
	r.log.Info(how, "flow", f.Current().Name)
}

// askedOf says whether a flow was asked to end.
func (r *runner) askedOf(f *engine.Flow) bool {
	return r.asked || r.changes.wasRemoved(f.Current().Name)
}

// say writes a line for people, in the form of the messages when those are JSON.
func (r *runner) say(line string) {
	if r.flags.logFormat == "json" {
		r.log.Info(line)
		return
	}
	fmt.Fprintf(r.console.Stderr(), "telluride: %s\n", line)
}

// sumUp writes the summary and says how the run went as a whole.
func (r *runner) sumUp() error {
	r.console.Progress("")
	var reports []flowReport
	var bad []*engine.Flow
	for _, f := range r.flows {
		report := reportOf(f, r.askedOf(f))
		if report.Outcome == failedAs || report.Outcome == aborted {
			bad = append(bad, f)
		}
		reports = append(reports, report)
	}
	if form := r.flags.form(r.console.errTerm); form != "none" {
		writeSummary(r.console.Stderr(), reports, form, r.console.colour)
	}
	switch {
	case len(bad) == 0:
		return nil
	case len(r.flows) == 1:
		return &exitError{code: exitFailed}
	}
	return failed(fmt.Errorf("%d of %s failed: %s", len(bad), plural(len(r.flows), "flow"), names(bad)))
}
