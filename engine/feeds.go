package engine

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// tend keeps the feeds running that the current version of a flow has, as
// long as the flow runs: one whose signature a change leaves alone goes on. It
// returns, with no feed running, when the host closes.
func (f *hosted) tend() {
	running := map[string]*feeding{}
	for {
		want, ended := f.control()
		for name, r := range running {
			if p, ok := want[name]; !ok || p.Signature != r.plan.Signature {
				r.stop()
				delete(running, name)
			}
		}
		for name, p := range want {
			if running[name] == nil {
				running[name] = f.feed(p)
			}
		}
		select {
		case <-f.poked:
		case <-ended:
		case <-f.host.quit:
			for _, r := range running {
				r.stop()
			}
			return
		}
	}
}

// poke has the feeds looked at again, since another version may run.
func (f *hosted) poke() {
	select {
	case f.poked <- struct{}{}:
	default:
	}
}

// control is the feeds that are to run. ended is closed when none is any
// more; it is nil when the flow has ended already.
func (f *hosted) control() (want map[string]plan.Feed, ended <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.flow.Running() {
		return nil, nil
	}
	want = map[string]plan.Feed{}
	for _, p := range f.version.plan.Control {
		want[p.Name] = p
	}
	return want, f.flow.Done()
}

// feeding is a feed that runs. Its messages become changes in their order,
// and are answered in that order, by a goroutine of its own: neither a slow
// change nor a slow answer holds up the flow or the other feeds.
type feeding struct {
	flow    *hosted
	plan    plan.Feed
	cancel  context.CancelFunc
	feeds   sync.WaitGroup
	answers sync.WaitGroup
	closing chan struct{} // closed: nothing more is taken

	mu      sync.Mutex // held while a message is taken
	stopped bool
	taken   chan taken

	following sync.Mutex
	silent    bool // nobody is told any more
}

// taken is a message that became a change, and where its receipt comes from.
type taken struct {
	message  stage.Message
	change   change.Change
	receipt  <-chan change.Receipt
	answered chan struct{} // closed
}

const (
	// maxUnanswered is how many messages of a feed may wait for the one before
	// them to be answered; a feed that has more of them waits.
	maxUnanswered = 64
	// queuePause is how long a feed waits when too many changes wait already.
	queuePause = 100 * time.Millisecond
)

func (f *hosted) feed(p plan.Feed) *feeding {
	ctx, cancel := context.WithCancel(context.Background())
	r := &feeding{flow: f, plan: p, cancel: cancel, closing: make(chan struct{}), taken: make(chan taken, maxUnanswered)}
	config := f.host.engine.config
	rt := stage.Runtime{Flow: f.name, Name: p.Name, Clock: config.Clock, Log: config.Log.With("flow", f.name)}
	feed := p.Spec.New(rt)
	r.answers.Go(r.answer)
	r.feeds.Go(func() {
		if err := feed.Run(ctx, r.deliver); err != nil {
			rt.Log.Error("no more changes come from here", "feed", p.Name, "error", err)
		}
	})
	return r
}

// deliver takes a message. One that comes when the feed stops is not taken:
// it goes back to where it came from.
func (r *feeding) deliver(m stage.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	c, problems := change.Parse(r.flow.name, m.Body, m.ContentType)
	if c.ID = m.ID; c.ID == "" {
		c.ID = newID()
	}
	answer := make(chan change.Receipt, 1)
	t := taken{m, c, answer, make(chan struct{})}
	if !r.submit(job{change: c, answer: answer, problems: problems, follow: r.follow(t)}) {
		return
	}
	r.taken <- t
}

// follow is how the sender of a message is told what became in the end of a
// change that waited. It does not block. When the feed has stopped, nobody is.
func (r *feeding) follow(t taken) func(change.Receipt) {
	if t.message.Follow == nil {
		return nil
	}
	return func(receipt change.Receipt) {
		text, err := json.Marshal(receipt)
		r.following.Lock()
		defer r.following.Unlock()
		if err != nil || r.silent {
			return
		}
		r.answers.Go(func() {
			<-t.answered
			t.message.Follow(text)
		})
	}
}

// submit queues a change, and waits while too many are queued. It says
// whether the change was taken.
func (r *feeding) submit(j job) bool {
	for {
		queued, closed := r.flow.queue(j)
		if queued || closed {
			return queued
		}
		pause := r.flow.host.engine.config.Clock.NewTimer(queuePause)
		select {
		case <-pause.C():
		case <-r.closing:
			pause.Stop()
			return false
		}
	}
}

// queue queues a job if there is room and the host is not closed.
func (f *hosted) queue(j job) (queued, closed bool) {
	f.host.mu.Lock()
	defer f.host.mu.Unlock()
	if f.host.closed {
		return false, true
	}
	select {
	case f.jobs <- j:
		return true, false
	default:
		return false, false
	}
}

// answer answers messages until there will be no more.
func (r *feeding) answer() {
	log := r.flow.host.engine.config.Log.With("flow", r.flow.name)
	for t := range r.taken {
		receipt := <-t.receipt
		if told := r.flow.host.config.Told; told != nil {
			told(t.change, receipt)
		}
		text, err := json.Marshal(receipt)
		if err == nil {
			err = t.message.Answer(text, accepted(receipt.Outcome))
		}
		if err != nil {
			log.Warn("a change was not answered", "feed", r.plan.Name, "change", receipt.ID, "error", err)
		}
		close(t.answered)
	}
}

// accepted says whether a change is done with, or will be without its sender.
func accepted(o change.Outcome) bool {
	return o == change.Applied || o == change.Unchanged || o == change.Pending
}

// stop ends a feed when what it has taken is answered.
func (r *feeding) stop() {
	close(r.closing)
	r.mu.Lock()
	r.stopped = true
	close(r.taken)
	r.mu.Unlock()
	r.following.Lock()
	r.silent = true
	r.following.Unlock()
	r.answers.Wait()
	r.cancel()
	r.feeds.Wait()
}

// unreadable is the receipt of a message that is no change.
func (f *hosted) unreadable(c change.Change, problems diag.List) change.Receipt {
	r := f.host.receipt(c)
	version, flow := f.current().plan.Version, f.running()
	r.Outcome, r.Reason, r.Diagnostics = change.Rejected, "the message is no change", change.Problems(problems)
	r.Flow, r.Running, r.Before, r.After = f.name, flow.Running(), version, version
	return r
}

// running is the flow that a hosted flow runs at the moment.
func (f *hosted) running() *Flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flow
}
