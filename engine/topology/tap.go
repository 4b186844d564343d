package topology

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

// Taps are the places of a flow at which passing records can be looked at.
// They outlive its graphs, so that who looks goes on across a change.
type Taps struct {
	// mask lists the fields that nobody is to see.
	mask atomic.Pointer[[]record.Path]

	mu    sync.Mutex
	spots map[string]*spot
}

// NewTaps makes the taps of a flow.
func NewTaps() *Taps { return &Taps{spots: map[string]*spot{}} }

// SourceTap and SinkTap are the names of the places behind a source, and in
// front of a sink. That behind a stage has the stage's name.
func SourceTap(name string) string { return "source/" + name }
func SinkTap(name string) string   { return "sink/" + name }

// spot is one place. When nobody looks it costs one atomic load a batch.
type spot struct {
	name string
	taps atomic.Pointer[[]*Tap]
}

// spot is the place of a name; nil when there are no taps.
func (t *Taps) spot(name string) *spot {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.spots[name]
	if s == nil {
		s = &spot{name: name}
		t.spots[name] = s
	}
	return s
}

func (t *Taps) setMask(paths []record.Path) {
	if t != nil {
		t.mask.Store(&paths)
	}
}

const (
	// tapBuffer bounds the samples that wait for who looks.
	tapBuffer = 256
	// maxSample bounds the size of one; larger records are counted as unseen.
	maxSample = 64 << 10
)

// Tap is somebody who looks at passing records. The flow never waits for it:
// what is over its budget, or comes while its buffer is full, is not shown,
// and counted.
type Tap struct {
	taps   *Taps
	names  []string
	budget atomic.Int64
	seen   atomic.Uint64
	shown  atomic.Uint64
	out    chan sample
}

type sample struct {
	stage, key string
	at         int64
	text       []byte
}

// Sample is a record as it passed a place.
type Sample struct {
	// Stage is the place: see [SourceTap].
	Stage string `json:"stage"`
	Key   string `json:"key,omitempty"`
	// Time is the record's own time.
	Time time.Time `json:"time"`
	// Record is the record as JSON, masked; a text that is no JSON is a string.
	Record json.RawMessage `json:"record"`
}

// Open begins to look at places. Close is to be called at the end.
func (t *Taps) Open(places []string) *Tap {
	tap := &Tap{taps: t, names: places, out: make(chan sample, tapBuffer)}
	for _, name := range places {
		s := t.spot(name)
		t.mu.Lock()
		list := []*Tap{tap}
		if old := s.taps.Load(); old != nil {
			list = append(slices.Clone(*old), tap)
		}
		s.taps.Store(&list)
		t.mu.Unlock()
	}
	return tap
}

// Close ends the look.
func (tap *Tap) Close() {
	t := tap.taps
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range tap.names {
		s := t.spots[name]
		list := slices.DeleteFunc(slices.Clone(*s.taps.Load()), func(one *Tap) bool { return one == tap })
		if len(list) == 0 {
			s.taps.Store(nil)
		} else {
			s.taps.Store(&list)
		}
	}
}

// Allow lets up to n more records be taken, and at most n in all before the
// next call.
func (tap *Tap) Allow(n int) { tap.budget.Store(int64(n)) }

// Passed is how many records have passed, and Taken how many of them were
// taken to be shown.
func (tap *Tap) Passed() uint64 { return tap.seen.Load() }
func (tap *Tap) Taken() uint64  { return tap.shown.Load() }

// Next waits for the next sample. The error is that of ctx.
func (tap *Tap) Next(ctx context.Context) (Sample, error) {
	select {
	case s := <-tap.out:
		return tap.sample(s), nil
	case <-ctx.Done():
		return Sample{}, ctx.Err()
	}
}

func (tap *Tap) sample(s sample) Sample {
	var mask []record.Path
	if m := tap.taps.mask.Load(); m != nil {
		mask = *m
	}
	return Sample{Stage: s.stage, Key: shownKey(s.key, mask), Time: time.Unix(0, s.at).UTC(), Record: masked(s.text, mask)}
}

// hidden stands for what nobody is to see.
const hidden = "***"

// shownKey hides a key where fields are masked, since it may be made of them.
func shownKey(key string, mask []record.Path) string {
	if key != "" && len(mask) > 0 {
		return hidden
	}
	return key
}

// masked is a document without what a mask hides. It is then written anew, so
// that a key which stands twice hides nothing. What is no JSON object cannot be
// masked by fields, and is hidden as a whole.
func masked(doc []byte, mask []record.Path) json.RawMessage {
	valid := json.Valid(doc)
	switch {
	case len(mask) == 0 && valid:
		return doc
	case len(mask) == 0:
		text, _ := json.Marshal(string(doc)) // a string always can be
		return text
	}
	var root map[string]any
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if !valid || dec.Decode(&root) != nil || root == nil {
		return json.RawMessage(`"` + hidden + `"`)
	}
	for _, path := range mask {
		hide(root, path)
	}
	text := []byte{'{'}
	for i, key := range keysOf(doc) {
		name, _ := json.Marshal(key) // a string always can be
		value, err := json.Marshal(root[key])
		if err != nil {
			return json.RawMessage(`"` + hidden + `"`)
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, name...), ':'), value...)
	}
	return append(text, '}')
}

// keysOf are the keys of a valid JSON object in its order, each once.
func keysOf(doc []byte) (keys []string) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	_, _ = dec.Token() // {
	seen := map[string]bool{}
	var skipped json.RawMessage
	for dec.More() {
		key, err := dec.Token()
		name, ok := key.(string)
		if err != nil || !ok || dec.Decode(&skipped) != nil {
			return keys
		}
		if !seen[name] {
			seen[name] = true
			keys = append(keys, name)
		}
	}
	return keys
}

// hide replaces the value at a path, if there is one.
func hide(at any, path record.Path) {
	step, last := path[0], len(path) == 1
	switch at := at.(type) {
	case map[string]any:
		inner, ok := at[step.Key]
		switch {
		case step.List || !ok:
		case last:
			at[step.Key] = hidden
		default:
			hide(inner, path[1:])
		}
	case []any:
		switch i := step.Index; {
		case !step.List || i < 0 || i >= len(at):
		case last:
			at[i] = hidden
		default:
			hide(at[i], path[1:])
		}
	}
}

// batch shows the records of a batch to who looks.
func (s *spot) batch(records []record.Record) {
	if s == nil || len(records) == 0 {
		return
	}
	taps := s.taps.Load()
	if taps == nil {
		return
	}
	for _, tap := range *taps {
		tap.seen.Add(uint64(len(records)))
		n := tap.take(len(records))
		for i := range n {
			tap.show(s.name, &records[i*len(records)/n])
		}
	}
}

// looked says whether somebody looks.
func (s *spot) looked() bool { return s != nil && s.taps.Load() != nil }

// one shows one record.
func (s *spot) one(r *record.Record) {
	if taps := s.taps.Load(); taps != nil {
		for _, tap := range *taps {
			tap.seen.Add(1)
			if tap.take(1) > 0 {
				tap.show(s.name, r)
			}
		}
	}
}

// take takes up to n out of the budget.
func (tap *Tap) take(n int) int {
	for {
		have := tap.budget.Load()
		if have <= 0 {
			return 0
		}
		n = min(n, int(have))
		if tap.budget.CompareAndSwap(have, have-int64(n)) {
			return n
		}
	}
}

func (tap *Tap) show(stage string, r *record.Record) {
	if len(tap.out) == cap(tap.out) || len(r.Payload) > maxSample {
		return // not worth the encoding
	}
	text := record.AppendJSON(nil, r)
	if len(text) > maxSample {
		return
	}
	select {
	case tap.out <- sample{stage: stage, key: string(append([]byte(nil), r.Key...)), at: r.Time, text: text}:
		tap.shown.Add(1)
	default:
	}
}
