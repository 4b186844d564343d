package generate

import (
	"fmt"
	"math"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Config is the source as the flow file has it.
type Config struct {
	Sensors  *Sensors // nil: rows
	Rows     []conf.NamedExpr
	Every    time.Duration
	Count    int64
	Seed     int64
	Seeded   bool
	Start    int64 // ns since 1970
	Started  bool  // Start is given
	Realtime bool
}

// Sensors says what is simulated.
type Sensors struct {
	Lines, Devices, Sensors int
	Types                   []SensorType
}

// SensorType is a kind of sensor and the distribution of its readings.
type SensorType struct {
	Name           string
	Mean, Variance float64
}

const maxSensors = 1_000_000

// Source is the kind `generate`.
func Source() stage.Kind {
	return stage.DefineSource("generate",
		"Makes records: readings of simulated sensors, or rows from expressions.",
		(*Config).bind, build).WithExample(`generate:
  sensors: {lines: 2, devices: 3, sensors: 4}
  every: 50ms
  seed: 1
`).WithMeta(stage.MetaKey{Name: "index", Place: true, Doc: "The number of the record, from 0; the same again after a restart."})
}

func (c *Config) bind(f *conf.Fields) {
	var s Sensors
	sensors := f.Object("sensors", "Simulates sensors in a factory, each with normally distributed readings: records of device_id, line_id, reading, sensor_id and timestamp. Give {} for the defaults.", s.bind)
	f.Exprs(&c.Rows, "rows", "The fields of each row, as expressions. They may name the fields above them, and index (0, 1, 2, …), random (evenly distributed from 0 to 1), normal (mean 0, variance 1) and now().").NotEmpty()
	f.OneOf("sensors", "rows")
	f.Duration(&c.Every, "every", 50*time.Millisecond, "The time between two readings of one sensor, or between two rows.").Min(time.Microsecond)
	f.Int64(&c.Count, "count", 0, "Stop after this many records; 0: never.").Min(0).Optional()
	c.Seeded = f.Int64(&c.Seed, "seed", 0, "Makes the values repeatable. Default: others in each run.").Optional().Given()
	var start conf.Text
	c.Started = f.Text(&start, "start", "", "The time of the first records, as 2024-05-01T00:00:00Z. Default: when the flow starts.").NotEmpty().Given()
	if c.Started && start.Value != "" {
		var err error
		if c.Start, err = record.ParseTime(record.StringValue(start.Value), "rfc3339"); err != nil {
			f.Errorf(start.Span, "start: %v", err)
		}
	}
	f.Bool(&c.Realtime, "realtime", true, "Keep to the clock: records come as their time does. false: as fast as the flow takes them, with the times that they would have had.")
	if sensors.Present() || f.Describing() {
		c.Sensors = &s
	}
	f.Check(func() (message, advice string) {
		if n := s.count(); c.Sensors != nil && n > maxSensors {
			return fmt.Sprintf("sensors: %d lines × %d devices × %d sensors are %d, above the maximum %d", s.Lines, s.Devices, s.Sensors, n, maxSensors), "lower one of them"
		}
		return "", ""
	})
}

func (s *Sensors) bind(f *conf.Fields) {
	const most = 100_000
	f.Int(&s.Lines, "lines", 2, "Production lines.").Min(1).Max(most)
	f.Int(&s.Devices, "devices", 3, "Devices on each line.").Min(1).Max(most)
	f.Int(&s.Sensors, "sensors", 4, "Sensors on each device.").Min(1).Max(most)
	var mean, variance float64
	one := f.Float(&mean, "mean", 71, "The mean of the readings, for sensors without types.").Given()
	one = f.Float(&variance, "variance", 4, "The variance of the readings, for sensors without types.").Min(0).Given() || one
	types := conf.Objects(f, "types", "The types of sensors, by turns. A sensor's id begins with its type: temperature_001. Default: temperature, humidity, pressure and vibration.", &s.Types, func(t *SensorType, f *conf.Fields) {
		f.String(&t.Name, "name", "", "The type.").Required().NotEmpty()
		f.Float(&t.Mean, "mean", 0, "The mean of the readings.").Required()
		f.Float(&t.Variance, "variance", 1, "The variance of the readings.").Min(0)
	}).NotEmpty()
	switch {
	case types.Present():
	case one:
		s.Types = []SensorType{{"sensor", mean, variance}}
	default:
		s.Types = []SensorType{{"temperature", 71, 4}, {"humidity", 45, 9}, {"pressure", 101.3, 1}, {"vibration", 2.5, 0.25}}
	}
	f.Check(func() (message, advice string) {
		for _, t := range s.Types {
			if math.IsInf(t.Mean, 0) || math.IsNaN(t.Mean) || math.IsInf(t.Variance, 0) || math.IsNaN(t.Variance) {
				return fmt.Sprintf("type %s: mean and variance must be finite", t.Name), ""
			}
		}
		if one && types.Present() {
			return "mean and variance are for sensors without types", "write them into the entries of types"
		}
		return "", ""
	})
}

// count is the number of sensors.
func (s *Sensors) count() int { return s.Lines * s.Devices * s.Sensors }

func build(c *Config, b *stage.Builder) stage.SourceSpec {
	var m maker
	var text string
	if c.Sensors != nil {
		m = newSensors(c.Sensors, b)
		text = plural(c.Sensors.count(), "sensor")
	} else {
		m = newRows(c.Rows, b)
		text = "rows"
		if c.Count > 0 {
			text = plural(int(c.Count), "row")
		}
	}
	if c.Realtime {
		text += " every " + conf.FormatDuration(c.Every)
	}
	layout := b.Layout
	return stage.SourceSpec{
		New: func(rt stage.Runtime) stage.Source {
			return newGenerator(c, rt, m.instance(), layout.Len())
		},
		Schema: b.Schema,
		Text:   text,
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
