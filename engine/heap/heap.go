// Package heap paces the garbage collector of a process that keeps much state.
// It knows nothing of flows.
//
// The collector of Go lets the heap grow to twice of what was live before it
// collects, whatever that is, since its work grows with what it has to scan.
// State is mostly bytes without pointers, which it never scans: a gigabyte of
// them would have a gigabyte of garbage beside it, and collecting that earlier
// would have cost next to nothing. So the room for garbage here follows what is
// scanned.
package heap

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// room is what garbage may take at least.
	room = 64 << 20
	// usual is Go's own percentage.
	usual = 100
	// coarse is by how many percent the pace has to change to be set anew.
	coarse = 5
)

// Pace lets garbage take as much as what the collector scans, and 64 MiB at
// least, until stop is called. A GOGC that the user has set stays as it is.
func Pace() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	p := &pacer{percent: usual, samples: []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}}
	p.arm()
	return p.stop
}

type pacer struct {
	mu      sync.Mutex
	stopped bool
	percent int
	samples []metrics.Sample
}

// arm has adjust called behind the next collection.
func (p *pacer) arm() {
	runtime.AddCleanup(new(sentinel), (*pacer).adjust, p)
}

// sentinel is garbage from the start. It has a pointer, so that it is not put
// into one block with other small objects.
type sentinel struct{ _ *sentinel }

func (p *pacer) adjust() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	metrics.Read(p.samples)
	want := percent(p.samples[0].Value.Uint64(), p.samples[1].Value.Uint64())
	if want-p.percent >= coarse || p.percent-want >= coarse {
		p.percent = want
		debug.SetGCPercent(want)
	}
	p.arm()
}

func (p *pacer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	debug.SetGCPercent(usual)
}

// percent is how much may be garbage beside what is live, of which a part is
// scanned.
func percent(live, scanned uint64) int {
	if live == 0 {
		return usual
	}
	return int(min(usual, math.Ceil(100*float64(max(room, scanned))/float64(live))))
}
