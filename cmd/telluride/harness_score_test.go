package main

import (
	"encoding/json"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// reading is a message of the harness.
type reading struct {
	N     int    `json:"n"`
	Key   string `json:"key"`
	Value int    `json:"value"`
}

// aggregate is what the running aggregate says of a key.
type aggregate struct {
	Count int `json:"count"`
	Sum   int `json:"sum"`
	Low   int `json:"low"`
	High  int `json:"high"`
}

func (a aggregate) add(r reading) aggregate {
	if a.Count == 0 {
		a.Low, a.High = r.Value, r.Value
	}
	return aggregate{a.Count + 1, a.Sum + r.N, min(a.Low, r.Value), max(a.High, r.Value)}
}

// sent is a message that the broker has confirmed, and what came of it.
type sent struct {
	body     string
	round    *scored
	arrivals int
	again    bool // some arrival had been redelivered to the flow
}

// scored is what may come of the messages of a round.
type scored struct {
	nature
}

// score knows what was published and what came out.
type score struct {
	mu       sync.Mutex
	round    *scored
	messages map[string]*sent
	left     int // messages that have not come out
	oracle   map[string]aggregate
	last     map[string]aggregate // as the flow said last
	previous map[string]int       // number of the last message of a key that came out
	results  map[string]bool      // ids of results of the aggregate
	repeated int
	wrong    []string
}

func newScore() *score {
	return &score{
		round:    &scored{},
		messages: map[string]*sent{}, oracle: map[string]aggregate{}, last: map[string]aggregate{},
		previous: map[string]int{}, results: map[string]bool{},
	}
}

func (s *score) begin(n nature) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round = &scored{nature: n}
}

// now is the nature of this round.
func (s *score) now() nature {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.round.nature
}

func (s *score) unexpected(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(format, args...)
}

// note is unexpected for who holds mu.
func (s *score) note(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// publishing notes a message before it is sent, since it may come out before
// its confirmation.
func (s *score) publishing(id string, r reading, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages[id] = &sent{body: string(body), round: s.round}
	s.left++
	s.oracle[r.Key] = s.oracle[r.Key].add(r)
}

// passed takes a message that came out of the pass-through.
func (s *score) passed(d *amqp.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[d.MessageId]
	if m == nil || m.body != string(d.Body) {
		s.note("message %q came out as %s", d.MessageId, d.Body)
		return
	}
	if m.arrivals > 0 && d.Redelivered {
		return // to us, since our own connection was lost
	}
	again := fmt.Sprint(d.Headers["redelivered"]) == "true"
	m.again = m.again || again
	if m.arrivals++; m.arrivals == 1 {
		s.left--
	} else {
		s.repeated++
		if m.round.nature != faults {
			s.note("message %s was repeated in a round of %s (redelivered: %v)", d.MessageId, m.round.nature, again)
		}
	}
	if again && m.round.nature == reloads {
		s.note("message %s was redelivered in a round of reloads", d.MessageId)
	}
	var r reading
	if err := json.Unmarshal(d.Body, &r); err != nil {
		s.note("message %q: %v", d.MessageId, err)
	}
	if m.round.nature != faults && r.N <= s.previous[r.Key] {
		s.note("message %s of %s came behind %d in a round of %s", d.MessageId, r.Key, s.previous[r.Key], m.round.nature)
	}
	s.previous[r.Key] = r.N
}

// aggregated takes a result of the running aggregate.
func (s *score) aggregated(d *amqp.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var result struct {
		Key string `json:"key"`
		aggregate
	}
	if err := json.Unmarshal(d.Body, &result); err != nil || d.MessageId == "" {
		s.note("result %s with the id %q: %v", d.Body, d.MessageId, err)
		return
	}
	was := s.last[result.Key]
	switch {
	case s.results[d.MessageId] && d.Redelivered:
		return // as above
	case s.results[d.MessageId]:
		s.repeated++
		if s.round.nature != faults {
			s.note("result %s was repeated in a round of %s", d.Body, s.round.nature)
		}
	case s.round.nature != faults && result.Count <= was.Count:
		s.note("result %s came behind %+v in a round of %s", d.Body, was, s.round.nature)
	}
	if o := s.oracle[result.Key]; result.Count > o.Count || result.Sum > o.Sum {
		s.note("result %s counts more than the %+v that was sent", d.Body, o)
	}
	s.results[d.MessageId] = true
	s.last[result.Key] = result.aggregate
}

// came is how much has come out, without repeats.
func (s *score) came() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.messages) - s.left + len(s.results)
}

// missing says what has not come out yet, "" when everything has.
func (s *score) missing() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left > 0 {
		return fmt.Sprintf("%d messages have not passed", s.left)
	}
	for key, want := range s.oracle {
		if got := s.last[key]; got != want {
			return fmt.Sprintf("the aggregate of %s is %+v, want %+v", key, got, want)
		}
	}
	return ""
}

// counts are what the harness is about.
type counts struct {
	published, results int
	lost               int // messages that did not come out, or were not counted
	duplicated         int // messages and results that came out again
	recovered          int // messages that came out though a fault or restart had taken them back
	unexpected         []string
}

func (s *score) count() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := counts{published: len(s.messages), results: len(s.results), lost: s.left, duplicated: s.repeated}
	for _, m := range s.messages {
		if m.again {
			c.recovered++
		}
	}
	for key, want := range s.oracle {
		switch got := s.last[key]; {
		case got.Count < want.Count:
			c.lost += want.Count - got.Count
		case got != want:
			s.note("the aggregate of %s is %+v, want %+v", key, got, want)
		}
	}
	c.unexpected = s.wrong
	return c
}
