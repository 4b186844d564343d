package retry

import (
	"bytes"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
)

// queue holds the records of one key, in their order.
type queue struct {
	key     string
	hash    uint64
	list    []held
	due     int64 // of the first record that is to be tried
	at      int   // in the heap; -1: it is not there
	saved   int   // how many bytes a snapshot has of it
	changed bool
}

// held is a record that is kept: as a document, so that it is the same whether
// or not the process has ended meanwhile.
type held struct {
	document  []byte
	meta      []byte
	source    string
	time      int64
	watermark int64
	tries     int // 0: it waits behind another
	due       int64
	reason    string
}

// keep makes a copy of a record. Its delivery may be settled before it is
// tried again, so it is none of a delivery any more.
func (o *operator) keep(r *record.Record) held {
	h := held{document: record.AppendJSON(nil, r), time: r.Time, watermark: r.Watermark}
	if r.Meta != nil {
		h.meta = record.AppendMeta(nil, r.Meta, r.Origin.Seq)
	}
	if n := r.Origin.Source; n < len(o.sources) {
		h.source = o.sources[n]
	}
	return h
}

// restored is a held record as a record. With an error it has its payload only.
func (o *operator) restored(q *queue, h *held) (record.Record, error) {
	r := record.Record{
		Payload: bytes.Clone(h.document), Key: q.key, Hash: q.hash, Time: h.time, Watermark: h.watermark,
		Origin: record.Origin{Source: max(slices.Index(o.sources, h.source), 0)},
	}
	if h.meta != nil {
		r.Meta = record.SavedMeta(h.meta)
	}
	fields := make([]record.Value, o.slots)
	if err := o.projector.Project(r.Payload, fields); err != nil {
		return r, err
	}
	r.Fields = fields
	return r, nil
}

// dueHeap has the queue first that is due first, and of equal ones always the
// same (container/heap).
type dueHeap []*queue

func (d dueHeap) Len() int { return len(d) }

func (d dueHeap) Less(i, j int) bool {
	if d[i].due != d[j].due {
		return d[i].due < d[j].due
	}
	return d[i].key < d[j].key
}

func (d dueHeap) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].at, d[j].at = i, j
}

func (d *dueHeap) Push(x any) {
	q := x.(*queue)
	q.at = len(*d)
	*d = append(*d, q)
}

func (d *dueHeap) Pop() any {
	old := *d
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	q.at = -1
	return q
}
