package stagetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// rounds is how many random streams each property of a sample sees. Every run
// draws others.
const rounds = 2

// operators checks a kind of operator.
func (c *checked) operators(t *testing.T) {
	b := c.sound(t)
	t.Run("declaration", func(t *testing.T) { c.declared(t, b) })
	for i, p := range []struct {
		name  string
		check func(b *built, rnd *rand.Rand) (problem string)
	}{
		{"ledger and time are right at every step", c.steps},
		{"memory is its own", c.memory},
		{"empty batches and repeated barriers change nothing", c.padding},
		{"instances are independent", c.independence},
		{"a restart changes nothing", c.restarts},
		{"a panic makes one dead letter", c.panics},
		{"a second end is harmless", c.ends},
		{"damaged state is refused", c.damage},
		{"state can be read by people", c.explains},
	} {
		t.Run(p.name, func(t *testing.T) {
			for round := range uint64(rounds) {
				if problem := p.check(b, c.rnd(uint64(i)<<32|round)); problem != "" {
					t.Fatalf("round %d: %s\n%s", round, problem, c.sample.Config)
				}
			}
		})
	}
}

// declared checks that the declaration says what the operator is.
func (c *checked) declared(t *testing.T, b *built) {
	spec, op := b.operator, b.operator.New()
	_, timed := op.(stage.Timed)
	_, holds := op.(stage.Holder)
	_, stateful := op.(stage.Stateful)
	_, ends := op.(stage.Ender)
	if spec.Holds != holds {
		t.Errorf("Holds is %v, but that the operator is a Holder is %v", spec.Holds, holds)
	}
	if spec.Stateful != stateful {
		t.Errorf("Stateful is %v, but that the operator is Stateful is %v", spec.Stateful, stateful)
	}
	if spec.Stateful && spec.Signature == "" {
		t.Error("it has state, and no signature to find it again by")
	}
	if spec.RecordWise && (timed || holds || stateful || ends || spec.Makes || spec.Ordered || spec.Timer != 0) {
		t.Errorf("it is declared record-wise, and is more than that: %+v", spec)
	}
	if spec.Timer != 0 && !timed {
		t.Error("it wants a timer, and is not Timed")
	}
	again := c.sound(t).operator
	if again.Signature != spec.Signature || again.Text != spec.Text {
		t.Errorf("built twice, it is not the same: %q and %q, %q and %q", spec.Signature, again.Signature, spec.Text, again.Text)
	}
}

func (c *checked) steps(b *built, rnd *rand.Rand) string {
	l := newLane(b).run(c.schedule(rnd))
	if l.problem == "" && l.seen.Held != 0 {
		return fmt.Sprintf("%d records are held behind the end", l.seen.Held)
	}
	return l.problem
}

// memory compares a run whose batches are released, and in race builds
// overwritten, as soon as they may be, with one where what comes in stays, and
// with one that reads what comes out at the end.
func (c *checked) memory(b *built, rnd *rand.Rand) string {
	s := c.schedule(rnd)
	released, pinned, later := newLane(b), newLane(b), newLane(b)
	pinned.pin, later.late = true, true
	if problem := differ("where what came in is released", released.run(s), "where it stays", pinned.run(s)); problem != "" {
		return problem
	}
	return differ("read at once", released, "read at the end", later.run(s))
}

func (c *checked) padding(b *built, rnd *rand.Rand) string {
	s := c.schedule(rnd)
	return differ("as it is", newLane(b).run(s), "padded", newLane(b).run(padded(rnd, s)))
}

// independence runs two instances at the same time.
func (c *checked) independence(b *built, rnd *rand.Rand) string {
	mine, others := c.schedule(rnd), c.schedule(rnd)
	alone := newLane(b).run(mine)
	beside, other := newLane(b), newLane(b)
	var wg sync.WaitGroup
	wg.Go(func() { beside.run(mine) })
	wg.Go(func() { other.run(others) })
	wg.Wait()
	if other.problem != "" {
		return other.problem
	}
	return differ("alone", alone, "beside another", beside)
}

// restarts replaces the operator by a new one with its state, behind random
// barriers at which nothing is held.
func (c *checked) restarts(b *built, rnd *rand.Rand) string {
	s := c.schedule(rnd)
	through := newLane(b).run(s)
	if !b.operator.Stateful || c.sample.Ticking {
		return through.problem
	}
	interrupted := newLane(b)
	for _, e := range s {
		interrupted.step(e)
		if e.barrier != record.None && e.barrier != record.End && interrupted.seen.Held == 0 && rnd.IntN(2) == 0 {
			interrupted.restart()
		}
	}
	// The order among keys is nobody's to keep.
	through.byKey()
	interrupted.byKey()
	return differ("in one go", through, "with restarts", interrupted)
}

// panics makes the operator panic at one record: that is a dead letter, and
// all else is as if the record had never come.
func (c *checked) panics(b *built, rnd *rand.Rand) string {
	s := c.schedule(rnd)
	n := records(s)
	if n == 0 {
		return ""
	}
	l := newLane(b)
	l.told = 1 + uint64(rnd.IntN(n))
	l.run(s)
	if l.skipped[l.told] {
		return l.problem
	}
	letters := 0
	l.out = slices.DeleteFunc(l.out, func(o outcome) bool {
		mine := strings.Contains(o.text, toldToPanic)
		if mine {
			letters++
		}
		return mine
	})
	if letters != 1 {
		return fmt.Sprintf("%d dead letters of one panic", letters)
	}
	return differ("with a panic", l, "without the record", newLane(b).run(without(s, l.told)))
}

func (c *checked) ends(b *built, rnd *rand.Rand) string {
	s := c.schedule(rnd)
	l := newLane(b).run(append(slices.Clone(s), s[len(s)-1]))
	if l.problem != "" {
		return l.problem
	}
	return newLane(b).run(s[len(s)-1:]).problem // nothing but the end
}

// damage restores state that is not what was saved. It must be refused, or be
// taken for another state, but never panic.
func (c *checked) damage(b *built, rnd *rand.Rand) string {
	if !b.operator.Stateful {
		return ""
	}
	s := c.schedule(rnd)
	saved := newLane(b)
	for _, e := range s[:len(s)/2+1] {
		saved.step(e)
	}
	keys := slices.Sorted(maps.Keys(saved.state))
	for range min(len(keys), 1) * 20 {
		key := keys[rnd.IntN(len(keys))]
		bad := damaged(rnd, saved.state[key])
		l := newLane(b)
		l.driver.Context.Now, l.driver.Context.Watermark = saved.driver.Context.Now, saved.driver.Context.Watermark
		switch panicked, err := restored(l.op, key, bad); {
		case panicked != "":
			return fmt.Sprintf("Restore(%q, %x) panics: %s", key, bad, panicked)
		case err != nil:
			continue
		}
		l.keys[key] = true
		if l.run(s[len(s)/2+1:]).panicked != "" {
			return fmt.Sprintf("behind Restore(%q, %x) it panics: %s", key, bad, l.panicked)
		}
	}
	return ""
}

// explains has every value of a state turned into JSON for people.
func (c *checked) explains(b *built, rnd *rand.Rand) string {
	if !b.operator.Stateful {
		return ""
	}
	if b.operator.Explain == nil {
		return "its state is bytes that nobody can read: Explain is missing"
	}
	l := newLane(b)
	for _, e := range c.schedule(rnd) {
		l.step(e)
		for key, value := range l.state {
			text, err := b.operator.Explain(key, value)
			if err != nil || !json.Valid(text) || text[0] != '{' {
				return fmt.Sprintf("Explain(%q, %x) is %s, %v: no JSON object", key, value, text, err)
			}
		}
	}
	return ""
}

// restored restores a value. The engine makes an error of a panic, but an
// operator is to look at what it reads.
func restored(op stage.Operator, key string, value []byte) (panicked string, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked = fmt.Sprint(p)
		}
	}()
	return "", op.(stage.Stateful).Restore(key, value)
}

// damaged is a value with some bytes changed, taken away or added.
func damaged(rnd *rand.Rand, value []byte) []byte {
	b := append([]byte(nil), value...)
	for range 1 + rnd.IntN(3) {
		switch {
		case len(b) == 0 || rnd.IntN(5) == 0:
			b = append(b, byte(rnd.IntN(256)))
		case rnd.IntN(4) == 0:
			b = b[:rnd.IntN(len(b))]
		case rnd.IntN(3) == 0:
			b[rnd.IntN(len(b))] = 0xff
		default:
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
	}
	return b
}

// byKey sorts what came out by key, and keeps the order within each.
func (l *lane) byKey() {
	slices.SortStableFunc(l.out, func(a, b outcome) int { return strings.Compare(a.key, b.key) })
}

// differ compares what came out of two lanes.
func differ(one string, a *lane, other string, b *lane) string {
	for _, l := range []*lane{a, b} {
		if l.problem != "" {
			return l.problem
		}
	}
	for i := range max(len(a.out), len(b.out)) {
		x, y := "nothing", "nothing"
		if i < len(a.out) {
			x = a.out[i].text
		}
		if i < len(b.out) {
			y = b.out[i].text
		}
		if x != y {
			return fmt.Sprintf("output %d is, %s,\n%s\nand, %s,\n%s", i, one, x, other, y)
		}
	}
	return ""
}
