package flowtest_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/flowtest"
)

// sumUp checks what must be so in the end.
func (s *seen) sumUp(b *flowtest.Bench) *problem {
	end := len(s.world.steps)
	if state, reason := b.State(); state != "ended" {
		return &problem{text: fmt.Sprintf("the flow is %s: %s", state, reason), step: end, expected: "{state: ended}"}
	}
	for _, row := range b.Ledger() {
		if row.Held != 0 {
			return &problem{text: fmt.Sprintf("%s holds %d records in the end", row.Name, row.Held), step: end, expected: fmt.Sprintf("{ledger: {%s: {held: 0}}}", row.Name)}
		}
	}
	text := s.answers()
	for _, check := range []func() string{s.arrivals, s.letters, s.windows} {
		if text == "" {
			text = check()
		}
	}
	if text != "" {
		return &problem{text: text, step: end, expected: s.expected(s.rows)}
	}
	if text = s.order(); text != "" {
		return &problem{text: text, step: end, expected: s.expected(s.inOrder)}
	}
	return nil
}

// answers checks that every change was answered, and as it must be.
func (s *seen) answers() string {
	if len(s.receipts) > s.submits {
		return fmt.Sprintf("%d changes and %d receipts", s.submits, len(s.receipts))
	}
	for _, step := range s.world.steps {
		if step.kind != "reload" || !step.invalid {
			continue
		}
		for _, r := range s.receipts {
			if r.ID == step.id && r.Outcome != change.Rejected {
				return fmt.Sprintf("%s is invalid, and was %s", r.ID, r.Outcome)
			}
		}
	}
	return ""
}

// once says whether a number of times is one that the faults allow.
func (s *seen) once(n int) bool { return n == 1 || n > 1 && s.world.faults() }

// arrivals checks that every record came to its sink, and to no other.
func (s *seen) arrivals() string {
	for _, f := range s.fates {
		for sink, all := range s.got {
			times := 0
			for _, a := range all {
				if a.ID == nil || *a.ID != f.id {
					continue
				}
				times++
				if f.w >= 0 && (a.W == nil || *a.W != f.w) {
					return fmt.Sprintf("w of message %d is not %d: %s", f.id, f.w, a.text)
				}
				if a.Tag < f.tag {
					return fmt.Sprintf("message %d was fed when tag was %d: %s", f.id, f.tag, a.text)
				}
			}
			if sink == f.sink && !s.once(times) || sink != f.sink && times > 0 {
				return fmt.Sprintf("message %d came to sink %s %d times; it is to come to %q", f.id, sink, times, f.sink)
			}
		}
		if f.sink != "" && len(s.got[f.sink]) == 0 {
			return fmt.Sprintf("message %d did not come to sink %s", f.id, f.sink)
		}
	}
	return ""
}

// letters checks that exactly the right messages are dead letters or late.
func (s *seen) letters() string {
	for _, f := range s.fates {
		late := f.late && s.world.flow.late
		for _, one := range []struct {
			what string
			is   bool
			n    int
		}{{"a dead letter", f.dead || f.late && !late, s.dead[f.id]}, {"late", late, s.late[f.id]}} {
			if one.is && !s.once(one.n) || !one.is && one.n > 0 {
				return fmt.Sprintf("message %d was %s %d times, which it is to be: %v", f.id, one.what, one.n, one.is)
			}
		}
	}
	return ""
}

// windows checks that every window came with what it must contain.
func (s *seen) windows() string {
	if s.world.flow.window == "" {
		return ""
	}
	for _, t := range s.totals {
		t.deliveries = 0
	}
	for _, a := range s.got["main"] {
		slices.Sort(a.IDs)
		i := slices.IndexFunc(s.totals, func(t *total) bool {
			return t.k == a.K && t.n == a.N && t.sum == a.Sum && slices.Equal(t.ids, a.IDs) && t.begins(a.Start)
		})
		if i < 0 {
			return fmt.Sprintf("a window that the model does not have: %s; it has %s", a.text, s.totalsText())
		}
		s.totals[i].deliveries++
	}
	for _, t := range s.totals {
		if !s.once(t.deliveries) {
			return fmt.Sprintf("window %+v came %d times", *t, t.deliveries)
		}
	}
	return ""
}

// begins says whether a window's result has its start.
func (t *total) begins(start string) bool {
	return start == "" || start == flowtest.DefaultBase.Add(seconds(t.start)).Format("2006-01-02T15:04:05Z")
}

func (s *seen) totalsText() string {
	var all []string
	for _, t := range s.totals {
		all = append(all, fmt.Sprintf("%+v", *t))
	}
	return strings.Join(all, " ")
}

// order checks that records of a key that took the same way came in the order
// in which they were fed; of those that came more than once, the first counts.
func (s *seen) order() string {
	for sink, all := range s.got {
		came := map[int]bool{}
		last := map[string]int{}
		for _, a := range all {
			if a.ID == nil || *a.ID >= len(s.fates) || came[*a.ID] {
				continue
			}
			came[*a.ID] = true
			f := &s.fates[*a.ID]
			way := f.k + f.path
			if before, ok := last[way]; ok && before > f.id {
				return fmt.Sprintf("of key %s, message %d came to sink %s behind message %d", f.k, f.id, sink, before)
			}
			last[way] = f.id
		}
	}
	return ""
}
