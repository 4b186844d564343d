package window

import (
	"math"

	"github.com/telluride-stream/telluride/engine/record"
)

// kept is one value: the first or the last of a window, or its smallest or
// largest text.
type kept struct {
	value record.Value
	at    moment
	last  bool
}

func (k *kept) add(v record.Value, at moment) {
	if k.value.Kind() != record.Missing && at.before(k.at) != !k.last {
		return
	}
	k.at = at
	if v.Kind() != record.String || k.value.Kind() != record.String || !record.Equal(v, k.value) {
		k.value = keep(v)
	}
}

func (k *kept) merge(other store) {
	if o := other.(*kept); o.value.Kind() != record.Missing {
		k.add(o.value, o.at)
	}
}

func (k *kept) result(*output) record.Value {
	if k.value.IsNil() {
		return record.NullValue()
	}
	return k.value
}

func (k *kept) encode(e *encoder) {
	e.value(k.value)
	e.moment(k.at)
}

func (k *kept) decode(d *decoder) {
	k.value = d.value()
	k.at = d.moment()
}

// keep is the value with memory of its own. A number whose literal a float64
// holds does without the literal, so that keeping it allocates nothing.
func keep(v record.Value) record.Value {
	switch v.Kind() {
	case record.Int:
		return record.IntValue(v.Int())
	case record.Float:
		if f := v.Float(); math.Abs(f) < 1<<53 && f != 0 {
			return record.FloatValue(f)
		}
	}
	return v.Clone()
}
