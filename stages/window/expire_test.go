package window_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
)

// life is a run of records of one key, between which it was never idle.
type life struct {
	key     string
	facts   []fact
	seen    int64
	expired bool
}

// lives cuts what comes of each key where the key had expired.
func lives(facts []fact, after int64) (all []*life) {
	now := map[string]*life{}
	watermark := int64(record.MinTime)
	for _, f := range facts {
		watermark = max(watermark, f.watermark)
		l := now[f.key]
		if l == nil || l.seen+after <= f.watermark {
			if l != nil {
				l.expired = true
			}
			l = &life{key: f.key, seen: record.MinTime}
			now[f.key] = l
			all = append(all, l)
		}
		l.facts = append(l.facts, f)
		l.seen = max(l.seen, f.time, f.watermark)
	}
	for _, l := range now {
		l.expired = l.expired || l.seen+after <= watermark
	}
	return all
}

func TestAKeyThatWasIdleForTooLongBeginsAnew(t *testing.T) {
	kinds := map[string]func([]fact, bool) []emission{
		"global: true\n  emit: {every: 1h}": func(facts []fact, _ bool) []emission {
			return []emission{{facts[0].key, summary(facts, true), 0, true, 0}}
		},
		"count: 3": func(facts []fact, expired bool) []emission {
			all := oracleCount(facts, 3)
			if last := &all[len(all)-1]; expired && len(facts)%3 > 0 {
				last.want["partial"] = true
			}
			return all
		},
		"sliding: {last: 3}": func(facts []fact, _ bool) []emission { return oracleSlidingCount(facts, 3, true) },
	}
	for kind, oracle := range kinds {
		t.Run(strings.Fields(kind)[0], func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				after := rapid.Int64Range(1, 15).Draw(rt, "after")
				f := build(t, fmt.Sprintf("window:\n  by: k\n  expire_after: %ds\n  %s\n", after, kind)+everyAggregate)
				facts := drawFacts(rt)
				l := run(rt, f, t, split(rt, facts), rapid.Bool().Draw(rt, "restarts"))
				want := map[string][]map[string]any{}
				gone := uint64(0)
				kept := map[string]bool{}
				for _, one := range lives(facts, after*second) {
					if one.expired {
						gone++
					} else {
						kept[one.key] = true
					}
					for _, e := range oracle(one.facts, one.expired) {
						want[one.key] = append(want[one.key], e.want)
					}
				}
				compareKeys(rt, t, l, want)
				uniqueIDs(rt, l)
				if l.counts.Expired != gone {
					rt.Fatalf("%d keys are counted as expired, want %d", l.counts.Expired, gone)
				}
				if len(l.state) != len(kept) {
					rt.Fatalf("the state holds %d keys, want those of %v", len(l.state), kept)
				}
			})
		})
	}
}

func compareKeys(t *rapid.T, tb testing.TB, l *lane, want map[string][]map[string]any) {
	var all []emission
	for key, list := range want {
		for i, m := range list {
			all = append(all, emission{key, m, i, true, 0})
		}
	}
	compareAll(t, tb, l, all)
}

// TestExpiryMayComeAndGoWithAChange: it is no part of what state depends on.
func TestExpiryMayComeAndGoWithAChange(t *testing.T) {
	for _, kind := range []string{"global: true, emit: {every: 1h}", "count: 3", "sliding: {last: 3}"} {
		without := build(t, "window: {by: k, "+kind+", aggregate: {n: count()}}")
		with := build(t, "window: {by: k, expire_after: 10s, "+kind+", aggregate: {n: count()}}")
		if without.spec.Signature != with.spec.Signature {
			t.Errorf("%s: the signature depends on expire_after", kind)
		}
		more := build(t, "window: {by: k, expire_after: 10s, "+kind+", aggregate: {n: count(), x: max(k)}}")
		carry, ok := more.spec.Carry(with.spec.Signature)
		if !ok {
			t.Fatalf("%s: nothing is carried", kind)
		}
		l := newLane(t, without)
		l.batch(0, record.Checkpoint, at(1, `{"k":"old"}`))
		l.flow = with
		l.restart()
		l.batch(0, record.Checkpoint, at(4, `{"k":"new"}`))
		for key, value := range l.state {
			carried, err := carry(key, value)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			l.state[key] = carried
		}
		l.flow = more
		l.restart()
		l.batch(0, record.Checkpoint, at(11, `{"k":"other"}`))
		if len(l.state) != 2 || l.counts.Expired != 1 {
			t.Errorf("%s: %d keys are left and %d expired, want the old one to go", kind, len(l.state), l.counts.Expired)
		}
		l.flow = build(t, "window: {by: k, "+kind+", aggregate: {n: count(), x: max(k)}}")
		l.restart()
		l.batch(0, record.Checkpoint, at(100, `{"k":"other"}`))
		if len(l.state) != 2 {
			t.Errorf("%s: without expire_after %d keys are left, want both", kind, len(l.state))
		}
	}
}
