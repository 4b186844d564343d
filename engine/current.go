package engine

import "github.com/telluride-stream/telluride/engine/plan"

// Current is the plan that the flow runs now, which a change replaces. The
// flow's name stays. It may be called at any time.
func (f *Flow) Current() *plan.Plan {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Plan
}
