package generate

import (
	"fmt"
	"math"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// maker makes the fields of records.
type maker interface {
	// instance is the maker for one source; sources do not share it.
	instance() maker
	// group is the number of records of one time.
	group() uint64
	shape() *record.Shape
	// fill sets the fields of the record with an index and time. They come
	// Missing, as many as the layout has slots, and must not alias memory of
	// the maker's.
	fill(fields []record.Value, c chance, at int64) error
}

// sensors makes readings. All sensors are read at the same times, one after
// the other.
type sensors struct {
	list  []sensor
	slots []record.Slot
	doc   *record.Shape
	// text is the time at: one text serves all sensors.
	at   int64
	text string
}

type sensor struct {
	id, device, line record.Value
	mean, deviation  float64
}

var sensorFields = []stage.MadeField{
	{Name: "device_id", Type: expr.String},
	{Name: "line_id", Type: expr.String},
	{Name: "reading", Type: expr.Float},
	{Name: "sensor_id", Type: expr.String},
	{Name: "timestamp", Type: expr.String},
}

func newSensors(s *Sensors, b *stage.Builder) *sensors {
	m := &sensors{at: math.MinInt64}
	m.slots, m.doc = b.Make(sensorFields)
	if s.count() > maxSensors || len(s.Types) == 0 {
		return m // was reported
	}
	digits := max(3, len(fmt.Sprint(s.count())))
	for i := range s.count() {
		device := i / s.Sensors
		t := s.Types[i%len(s.Types)]
		m.list = append(m.list, sensor{
			id:     record.StringValue(fmt.Sprintf("%s_%0*d", t.Name, digits, i+1)),
			device: record.StringValue(fmt.Sprintf("device_%d", device+1)),
			line:   record.StringValue(fmt.Sprintf("line_%d", device/s.Devices+1)),
			mean:   t.Mean, deviation: math.Sqrt(t.Variance),
		})
	}
	return m
}

func (m *sensors) instance() maker {
	own := *m
	return &own
}

func (m *sensors) group() uint64        { return uint64(len(m.list)) }
func (m *sensors) shape() *record.Shape { return m.doc }

func (m *sensors) fill(fields []record.Value, c chance, at int64) error {
	if at != m.at {
		m.at, m.text = at, record.FormatTime(at)
	}
	s := &m.list[c.index%uint64(len(m.list))]
	fields[m.slots[0]] = s.device
	fields[m.slots[1]] = s.line
	fields[m.slots[2]] = record.FloatValue(reading(s.mean + s.deviation*c.normal()))
	fields[m.slots[3]] = s.id
	fields[m.slots[4]] = record.StringValue(m.text)
	return nil
}

// reading has three decimals, as an instrument would.
func reading(x float64) float64 {
	if r := math.Round(x*1000) / 1000; !math.IsInf(r, 0) {
		return r
	}
	return x
}
