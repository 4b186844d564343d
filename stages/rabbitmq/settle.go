package rabbitmq

import (
	"sync"

	"github.com/telluride-stream/telluride/engine/stage"
)

// unsettled knows which deliveries of a session are not settled yet: which
// consumer each sequence number came from, and its delivery tag there.
//
// Sequence numbers are given out batch by batch, and a batch has the
// deliveries of one consumer with rising tags. So one run stands for a batch.
type unsettled struct {
	mu   sync.Mutex
	runs []run // by rising sequence number
	seq  uint64
}

// run is n deliveries of one consumer: sequence number seq+i has tag tag+i.
type run struct {
	consumer *consumer
	seq, tag uint64
	n        uint64
}

// add gives n deliveries their sequence numbers and returns the first.
func (u *unsettled) add(c *consumer, tag uint64, n int) (seq uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	seq = u.seq + 1
	u.seq += uint64(n)
	u.runs = append(u.runs, run{consumer: c, seq: seq, tag: tag, n: uint64(n)})
	return seq
}

// tagged is a delivery as its consumer knows it.
type tagged struct {
	consumer *consumer
	tag      uint64
}

// verdicts takes what a settlement covers. rejects come in order; acks has,
// for each consumer with anything to acknowledge, the highest tag that is not
// rejected. No tag is ever part of two settlements.
func (u *unsettled) verdicts(s stage.Settlement) (rejects, acks []tagged) {
	u.mu.Lock()
	defer u.mu.Unlock()
	rejected := s.Rejected
	done := 0
	for i := range u.runs {
		r := &u.runs[i]
		if r.seq > s.Upto {
			break
		}
		n := min(r.n, s.Upto-r.seq+1)
		end, next, ack := r.seq+n, r.seq, uint64(0)
		for len(rejected) > 0 && rejected[0] < end {
			at := rejected[0]
			rejected = rejected[1:]
			if at < next {
				continue // settled before
			}
			if at > next {
				ack = r.tag + at - r.seq - 1
			}
			rejects = append(rejects, tagged{r.consumer, r.tag + at - r.seq})
			next = at + 1
		}
		if next < end {
			ack = r.tag + n - 1
		}
		if ack > 0 {
			acks = raise(acks, tagged{r.consumer, ack})
		}
		r.seq, r.tag, r.n = r.seq+n, r.tag+n, r.n-n
		if r.n == 0 {
			done++
		}
	}
	u.runs = u.runs[:copy(u.runs, u.runs[done:])]
	return rejects, acks
}

// raise notes the highest tag of a consumer. Tags of one consumer come rising.
func raise(acks []tagged, t tagged) []tagged {
	for i := range acks {
		if acks[i].consumer == t.consumer {
			acks[i].tag = t.tag
			return acks
		}
	}
	return append(acks, t)
}
