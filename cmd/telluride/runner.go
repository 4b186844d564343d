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
	flags   runFlags
	console *console
	log     *slog.Logger
	engine  *engine.Engine
	flows   []*engine.Flow

	grace time.Duration // see program

	asked bool // the flows were asked to end
}

// wait returns when every flow has ended, or was given up.
func (r *runner) wait(signals <-chan os.Signal) error {
	done := make(chan *engine.Flow)
	for _, f := range r.flows {
		go func() {
			<-f.Done()
			done <- f
		}()
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var shown progress
	var drains sync.WaitGroup
	defer drains.Wait()
	draining, stopDraining := context.WithCancel(context.Background())
	defer stopDraining()
	var giveUp <-chan time.Time
	for left := len(r.flows); left > 0; {
		select {
		case f := <-done:
			left--
			r.finished(f)
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
			r.console.Progress("")
			for _, f := range r.running() {
				r.say(fmt.Sprintf("%s: a source or sink does not let go, so it was given up: %s read and not acknowledged",
					f.Plan.Name, plural(int(f.Summary().Unsaved), "record")))
			}
			go func() {
				for range left {
					<-done
				}
			}()
			return &exitError{code: exitFailed}
		}
	}
	stopDraining()
	drains.Wait()
	return r.sumUp()
}

// drain lets the flows finish what they have read, until the deadline.
func (r *runner) drain(ctx context.Context, wg *sync.WaitGroup, sig os.Signal) {
	limit := ""
	if t := r.flags.drainTimeout; t > 0 {
		limit = fmt.Sprintf("up to %v; ", t)
	}
	r.say(fmt.Sprintf("%v: draining (%sagain to abort)…", sig, limit))
	for _, f := range r.flows {
		wg.Go(func() {
			ctx, cancel := ctx, context.CancelFunc(func() {})
			if t := r.flags.drainTimeout; t > 0 {
				ctx, cancel = context.WithTimeout(ctx, t)
			}
			defer cancel()
			if err := f.Drain(ctx); err != nil {
				if ctx.Err() == context.DeadlineExceeded {
					r.say(fmt.Sprintf("%s: not drained after %v", f.Plan.Name, r.flags.drainTimeout))
				}
				f.Stop()
			}
		})
	}
}

func (r *runner) stop() {
	for _, f := range r.flows {
		f.Stop()
	}
}

// running lists the flows that have not ended.
func (r *runner) running() []*engine.Flow {
	var flows []*engine.Flow
	for _, f := range r.flows {
		select {
		case <-f.Done():
		default:
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
	how, err := outcome(f, r.asked)
	if err != nil {
		r.log.Error(how, "flow", f.Plan.Name, "error", err)
		return
	}
	r.log.Info(how, "flow", f.Plan.Name)
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
		report := reportOf(f, r.asked)
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
