package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// crashInput is what all flows read, and what must come of it.
type crashInput struct {
	bodies []string
	broken map[string]bool
	want   map[string]crashResult // of windows that close, by kind, key and start
	totals map[string]crashResult // by key
}

// crashRecord is a record of the input.
type crashRecord struct {
	ID  string    `json:"id"`
	N   int       `json:"n"`
	Key string    `json:"key"`
	At  time.Time `json:"at"`
}

// crashResult is a result of a window.
type crashResult struct {
	Kind  string `json:"kind"`
	Key   string `json:"key"`
	Start string `json:"window_start"`
	End   string `json:"window_end"`
	Count int    `json:"count"`
	Sum   int    `json:"sum"`
}

func (r crashResult) id() string { return r.Kind + " " + r.Key + " " + r.Start }

const lastKey = "end" // of the record that closes all windows

// newCrashInput makes records that come out of order by two seconds at most,
// with silences of single keys and of all, repeated ones and broken ones.
func newCrashInput(rng *rand.Rand, n int) crashInput {
	in := crashInput{broken: map[string]bool{}, want: map[string]crashResult{}, totals: map[string]crashResult{}}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var records []crashRecord
	for i := range n {
		at = at.Add(50 * time.Millisecond)
		if i%700 == 699 {
			at = at.Add(20 * time.Second)
		}
		key := rng.IntN(7)
		if (i/200+key)%5 == 0 {
			continue // this key is silent for ten seconds
		}
		r := crashRecord{ID: fmt.Sprintf("r%d", i), N: i, Key: fmt.Sprintf("k%d", key), At: at.Add(-time.Duration(rng.IntN(1000)) * time.Millisecond).Truncate(time.Second)}
		records = append(records, r)
		in.add(r)
		switch rng.IntN(40) {
		case 0:
			in.add(r)
		case 1:
			text := fmt.Sprintf(`{"id":"b%d","n":%d,broken`, i, i)
			in.bodies, in.broken[text] = append(in.bodies, text), true
		}
	}
	in.add(crashRecord{ID: lastKey, Key: lastKey, At: at.Add(time.Hour)})
	in.windows(records)
	return in
}

func (in *crashInput) add(r crashRecord) {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	in.bodies = append(in.bodies, string(text))
	if r.Key != lastKey {
		total := in.totals[r.Key] // no dedupe is in front of these
		in.totals[r.Key] = crashResult{Kind: "global", Key: r.Key, Count: total.Count + 1, Sum: total.Sum + r.N}
	}
}

// windows is the oracle of what is behind a dedupe: each record counts once.
func (in *crashInput) windows(records []crashRecord) {
	slices.SortStableFunc(records, func(a, b crashRecord) int { return a.At.Compare(b.At) })
	count := func(r crashResult, n int) crashResult {
		r.Count, r.Sum = r.Count+1, r.Sum+n
		return r
	}
	type open struct {
		result crashResult
		last   time.Time
	}
	sessions := map[string]open{}
	put := func(s open) {
		s.result.End = s.last.Add(5 * time.Second).Format(time.RFC3339)
		in.want[s.result.id()] = s.result
	}
	for _, r := range records {
		start := r.At.Truncate(10 * time.Second)
		t := crashResult{Kind: "tumbling", Key: r.Key, Start: start.Format(time.RFC3339), End: start.Add(10 * time.Second).Format(time.RFC3339)}
		if old, ok := in.want[t.id()]; ok {
			t = old
		}
		in.want[t.id()] = count(t, r.N)
		s, ok := sessions[r.Key]
		if ok && r.At.Sub(s.last) >= 5*time.Second {
			put(s)
			ok = false
		}
		if !ok {
			s = open{result: crashResult{Kind: "session", Key: r.Key, Start: r.At.Format(time.RFC3339)}}
		}
		s.result, s.last = count(s.result, r.N), r.At
		sessions[r.Key] = s
	}
	for _, s := range sessions {
		put(s)
	}
}

// collection is what came out of a flow.
type collection struct {
	name string

	mu           sync.Mutex
	bodies       map[string]string // by message id
	results      map[string]crashResult
	totals       map[string]crashResult // the largest of each key
	letters      map[string]string      // message id by body
	repeated     int
	lettersAgain int
	wrong        []string
}

func newCollection(name string) *collection {
	return &collection{name: name, bodies: map[string]string{}, results: map[string]crashResult{}, totals: map[string]crashResult{}, letters: map[string]string{}}
}

func (c *collection) result(d *amqp.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var r crashResult
	if err := json.Unmarshal(d.Body, &r); err != nil || d.MessageId == "" {
		c.wrong = append(c.wrong, fmt.Sprintf("a result %s with the id %q", d.Body, d.MessageId))
		return
	}
	if r.Key == lastKey {
		return
	}
	if old, again := c.bodies[d.MessageId]; again {
		c.repeated++
		if old != string(d.Body) {
			c.wrong = append(c.wrong, fmt.Sprintf("the id %s stands for %s and for %s", d.MessageId, old, d.Body))
		}
		return
	}
	c.bodies[d.MessageId] = string(d.Body)
	if r.Kind == "global" {
		if r.Count > c.totals[r.Key].Count {
			c.totals[r.Key] = r
		}
		return
	}
	if old, ok := c.results[r.id()]; ok {
		c.wrong = append(c.wrong, fmt.Sprintf("a window has two results: %+v and %+v", old, r))
	}
	c.results[r.id()] = r
}

func (c *collection) letter(d *amqp.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, again := c.letters[string(d.Body)]
	if again {
		c.lettersAgain++
		if old != d.MessageId {
			c.wrong = append(c.wrong, fmt.Sprintf("the dead letter %s has the ids %q and %q", d.Body, old, d.MessageId))
		}
	}
	c.letters[string(d.Body)] = d.MessageId
}

// came is how much has come out, without repeats.
func (c *collection) came() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bodies) + len(c.letters)
}

// problems is what differs from the oracle.
func (c *collection) problems(in crashInput) (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all = slices.Clone(c.wrong)
	compare := func(got, want map[string]crashResult) {
		for id, w := range want {
			if g, ok := got[id]; !ok || g != w {
				all = append(all, fmt.Sprintf("got %+v, want %+v", g, w))
			}
		}
		for id, g := range got {
			if _, ok := want[id]; !ok {
				all = append(all, fmt.Sprintf("got %+v, which nobody wants", g))
			}
		}
	}
	compare(c.results, in.want)
	compare(c.totals, in.totals)
	for text := range in.broken {
		if _, ok := c.letters[text]; !ok {
			all = append(all, "lost: the dead letter "+text)
		}
	}
	for text := range c.letters {
		if !in.broken[text] {
			all = append(all, "dead: "+text)
		}
	}
	return all
}
