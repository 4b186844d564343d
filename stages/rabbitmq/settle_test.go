package rabbitmq

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/stage"
)

// channelModel is what a broker knows of a channel: it closes the channel when
// a tag is settled that is not open.
type channelModel struct{ open []uint64 }

func (m *channelModel) settle(t *rapid.T, tag uint64) {
	i := slices.Index(m.open, tag)
	if i < 0 {
		t.Fatalf("tag %d is settled, and not open: %v", tag, m.open)
	}
	m.open = slices.Delete(m.open, i, i+1)
}

func TestEveryTagIsSettledOnceAndInItsWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u unsettled
		consumers := []*consumer{{}, {}, {}}
		models := map[*consumer]*channelModel{}
		tags := map[*consumer]uint64{}
		type delivery struct {
			c   *consumer
			tag uint64
		}
		bySeq := map[uint64]delivery{}
		for _, c := range consumers {
			models[c] = new(channelModel)
		}
		upto := uint64(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "deliver") {
				c := rapid.SampledFrom(consumers).Draw(t, "consumer")
				n := rapid.IntRange(1, 5).Draw(t, "n")
				seq := u.add(c, tags[c]+1, n)
				for i := range n {
					tags[c]++
					bySeq[seq+uint64(i)] = delivery{c, tags[c]}
					models[c].open = append(models[c].open, tags[c])
				}
				continue
			}
			if u.seq == upto {
				continue
			}
			from := upto + 1
			upto = rapid.Uint64Range(from, u.seq).Draw(t, "upto")
			var rejected []uint64
			for seq := from; seq <= upto; seq++ {
				if rapid.Bool().Draw(t, "reject") {
					rejected = append(rejected, seq)
				}
			}
			rejects, acks := u.verdicts(stage.Settlement{Upto: upto, Rejected: rejected})
			if len(rejects) != len(rejected) {
				t.Fatalf("%d rejects, want %d", len(rejects), len(rejected))
			}
			for i, r := range rejects {
				if want := bySeq[rejected[i]]; want.c != r.consumer || want.tag != r.tag {
					t.Fatalf("sequence number %d rejects %v, want %v", rejected[i], r, want)
				}
				models[r.consumer].settle(t, r.tag)
			}
			for _, a := range acks {
				models[a.consumer].settle(t, a.tag)
				models[a.consumer].open = slices.DeleteFunc(models[a.consumer].open, func(tag uint64) bool { return tag <= a.tag })
			}
			// Exactly what was covered is settled.
			for seq := uint64(1); seq <= u.seq; seq++ {
				if d := bySeq[seq]; slices.Contains(models[d.c].open, d.tag) != (seq > upto) {
					t.Fatalf("sequence number %d is open: %v, settled up to %d", seq, seq <= upto, upto)
				}
			}
		}
	})
}
