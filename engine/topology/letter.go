package topology

import (
	"strconv"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/record"
)

// letter puts a side record into its envelope. The record that it returns is
// the envelope as a document; its Meta has the original.
func (s *sides) letter(side *record.Side, now int64) record.Record {
	r := &side.Record
	l := deadletter.Letter{
		Time: time.Unix(0, now), Flow: s.graph.plan.Name, Version: s.graph.plan.Version, Stage: side.Stage, Reason: side.Reason,
		Attempts: max(side.Attempts, 1), Line: -1, Offset: -1,
	}
	// What a stage made has no source; what one has held has no delivery any more.
	_, held := r.Meta.(record.SavedMeta)
	if n := r.Origin.Source; (r.Origin.Seq > 0 || held) && n < len(s.graph.plan.Sources) {
		l.Source = s.graph.plan.Sources[n].Name
	}
	l.Payload = r.Payload
	if r.Shape != nil || r.Payload == nil {
		l.Payload = record.AppendJSON(nil, r)
	}
	if r.Meta != nil {
		describe(&l, r)
	}
	s.name(&l, r)
	doc := record.Record{Payload: l.AppendJSON(nil), Time: r.Time, Origin: r.Origin}
	doc.Meta = &deadletter.Sealed{Letter: l, Original: *r}
	return doc
}

var (
	filePath     = record.Path{{Key: "file"}}
	offsetPath   = record.Path{{Key: "offset"}}
	idPath       = record.Path{{Key: "message_id"}}
	queuePath    = record.Path{{Key: "queue"}}
	attemptsPath = record.Path{{Key: "headers"}, {Key: deadletter.HeaderAttempts}}
)

// describe adds what the source knows of the record. A record that was
// replayed says how often it had been tried before.
func describe(l *deadletter.Letter, r *record.Record) {
	lookup := func(p record.Path) record.Value { return r.Meta.Lookup(p, r.Origin.Seq) }
	if v := lookup(attemptsPath); v.Kind() == record.Int && v.Int() > 0 && v.Int() < 1<<30 {
		l.Attempts += int(v.Int())
	}
	if v := lookup(linePath); v.Kind() == record.Int {
		l.Line = v.Int()
	}
	if v := lookup(offsetPath); v.Kind() == record.Int {
		l.Offset = v.Int()
	}
	if v := lookup(filePath); v.Kind() == record.String {
		l.File = v.Text() // says with line and offset all that is known
		return
	}
	l.Meta = record.AppendMeta(nil, r.Meta, r.Origin.Seq)
}

// name gives the letter its id.
func (s *sides) name(l *deadletter.Letter, r *record.Record) {
	identity := identityOf(r)
	if identity == "" {
		identity = s.twins.unique()
	}
	l.ID = deadletter.NewID(l.Flow, l.Source, identity, l.Stage, l.Attempts, l.Payload)
	if n := s.twins.count(l.ID); n > 0 {
		l.ID = deadletter.NewID(l.Flow, l.Source, identity+"#"+strconv.Itoa(n), l.Stage, l.Attempts, l.Payload)
	}
}

// identityOf is what a record is known by when it is read again: its place in
// a file or stream, or the id that its sender gave it; "" when there is none.
func identityOf(r *record.Record) string {
	if r.Meta == nil {
		return ""
	}
	if place := placeOf(r); place != "" {
		return place
	}
	return strings.Clone(r.Meta.Lookup(idPath, r.Origin.Seq).Text())
}

// placeOf is where a record stands in a file or stream; "" when it does not.
func placeOf(r *record.Record) string {
	if r.Meta == nil {
		return ""
	}
	offset := r.Meta.Lookup(offsetPath, r.Origin.Seq)
	if offset.Kind() != record.Int || offset.Int() < 0 {
		return ""
	}
	place := r.Meta.Lookup(filePath, r.Origin.Seq)
	if place.Kind() != record.String {
		place = r.Meta.Lookup(queuePath, r.Origin.Seq)
	}
	return place.Text() + "@" + strconv.FormatInt(offset.Int(), 10)
}

// twins tells letters apart that would have one id: equal records that one
// message was exploded into, say. What comes again after a crash comes with
// all of its twins, so that each has its old id.
type twins struct {
	now, before map[string]int
	began       string // what no other graph has
	last        int
}

// manyTwins bounds what is remembered.
const manyTwins = 1 << 15

func (t *twins) count(id string) int {
	n, ok := t.now[id]
	if !ok {
		n = t.before[id]
	}
	if len(t.now) >= manyTwins {
		t.before, t.now = t.now, nil
	}
	if t.now == nil {
		t.now = map[string]int{}
	}
	t.now[id] = n + 1
	return n
}

// unique is an identity for a record that has none.
func (t *twins) unique() string {
	t.last++
	return t.began + "/" + strconv.Itoa(t.last)
}
