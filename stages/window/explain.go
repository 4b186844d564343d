package window

import (
	"strconv"

	"github.com/telluride-stream/telluride/engine/record"
)

// explain is [stage.OperatorSpec.Explain]: what is kept of a key, with what
// the aggregates would be now. The value is restored into an operator of its
// own, which knows best what it means.
func (s *spec) explain(key string, value []byte) ([]byte, error) {
	x := explainer{spec: s}
	var err error
	switch o := newOperator(s).(type) {
	case *panes:
		if err = o.Restore(key, value); err == nil {
			o.keys.all(func(e *entry[paneState]) { x.panes(o, e) })
		}
	case *sessions:
		if err = o.Restore(key, value); err == nil {
			o.keys.all(func(e *entry[sessionState]) { x.sessions(e) })
		}
	case *counted:
		if err = o.Restore(key, value); err == nil {
			o.keys.all(func(e *entry[countState]) { x.counted(o, e) })
		}
	case *running:
		if err = o.Restore(key, value); err == nil {
			o.keys.all(func(id rowID) { x.running(o, id) })
		}
	case *sliding:
		if err = o.Restore(key, value); err == nil {
			o.keys.all(func(e *entry[slidingState]) { x.sliding(o, e) })
		}
	}
	return x.b, err
}

// explainer writes one JSON object.
type explainer struct {
	*spec
	b []byte
}

func (x *explainer) name(name string) {
	if c := x.b[len(x.b)-1]; c != '{' && c != '[' {
		x.b = append(x.b, ',')
	}
	x.b = append(record.AppendValue(x.b, record.StringValue(name)), ':')
}

func (x *explainer) value(name string, v record.Value) {
	x.name(name)
	x.b = record.AppendValue(x.b, v)
}

func (x *explainer) time(name string, t int64) {
	x.value(name, record.StringValue(record.FormatTime(t)))
}

// open begins the object: records is how many of the key were taken so far.
func (x *explainer) open(records uint64) {
	x.b = append(x.b, `{"records":`...)
	x.b = strconv.AppendUint(x.b, records, 10)
}

func (x *explainer) aggregates(cells []cell) {
	for i := range x.set.outputs {
		o := &x.set.outputs[i]
		x.value(o.name, x.set.value(o, cells))
	}
}

// windows begins a list of windows; window each of them.
func (x *explainer) windows() {
	x.name("windows")
	x.b = append(x.b, '[')
}

func (x *explainer) window(start, end int64, closed bool, cells []cell) {
	if x.b[len(x.b)-1] == '}' {
		x.b = append(x.b, ',')
	}
	x.b = append(x.b, '{')
	x.time("window_start", start)
	x.time("window_end", end)
	if closed {
		x.value("closed", record.BoolValue(true))
	}
	x.aggregates(cells)
	x.b = append(x.b, '}')
}

// panes lists the windows that the panes belong to. One that has closed is
// kept for late records.
func (x *explainer) panes(o *panes, e *entry[paneState]) {
	x.open(e.seq)
	x.windows()
	sent := int64(none)
	for i := range e.state.panes {
		first, last := o.grid.windows(e.state.panes[i].index)
		for w := max(first, sent+1); w <= last; w++ {
			start, end := o.grid.bounds(w)
			sent = w
			if later(end, o.late) > e.state.fired {
				x.window(start, end, end <= e.state.fired, o.content(e, w))
			}
		}
	}
	x.b = append(x.b, "]}"...)
}

func (x *explainer) sessions(e *entry[sessionState]) {
	x.open(e.seq)
	x.windows()
	for _, s := range e.state.open {
		x.window(s.start, s.end, s.fired, s.cells)
	}
	x.b = append(x.b, "]}"...)
}

func (x *explainer) counted(o *counted, e *entry[countState]) {
	x.open(e.seq)
	x.value("windows_closed", record.IntValue(int64(e.state.windows)))
	x.value("in_window", record.IntValue(e.state.n))
	if e.state.n > 0 {
		x.time("latest", e.state.latest)
		x.aggregates(e.state.cells)
	}
	x.b = append(x.b, '}')
}

func (x *explainer) running(o *running, id rowID) {
	row := o.keys.row(id)
	x.open(uint64(row.get(rowSeq)))
	x.time("first", row.get(rowBorn))
	x.time("latest", row.get(rowLatest))
	x.aggregates(o.keys.cells(id))
	x.b = append(x.b, '}')
}

// sliding tells the aggregates over all records that are kept.
func (x *explainer) sliding(o *sliding, e *entry[slidingState]) {
	l := &e.state.list
	x.open(e.seq)
	x.value("kept", record.IntValue(int64(l.len())))
	x.time("first", l.at[l.begin-l.base].time)
	x.time("latest", l.at[len(l.at)-1].time)
	clear(o.scratch)
	for i := l.begin; i < l.end(); i++ {
		o.add(o.scratch, l, i)
	}
	x.aggregates(o.scratch)
	x.b = append(x.b, '}')
}
