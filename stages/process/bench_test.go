package process

import (
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// BenchmarkSteps is the cost of one step for one record, without reading the
// payload and without the batch around it.
func BenchmarkSteps(b *testing.B) {
	payload := `{"device_id":"device_3","line_id":"line_1","reading":71.234,"sensor_id":"sensor_000123","site":{"name":"x"}}`
	for _, step := range []string{
		`filter: "reading > 10 && line_id == 'line_1'"`,
		`set: {celsius: "(reading - 32) / 1.8"}`,
		`set: {site.floor: "3"}`,
		`select: [sensor_id, reading]`,
		`drop_fields: [device_id, line_id]`,
		`rename: {reading: value}`,
		`assert: "reading < 1000"`,
	} {
		b.Run(step, func(b *testing.B) {
			bench := newBench().mustAdd(b, step).start(1)
			in := bench.batch(b, 1, payload)
			op := bench.specs[0].New()
			c := stage.NewContext("step", 512)
			fresh := append([]record.Value(nil), in.Records[0].Fields...)
			r := &in.Records[0]
			c.Scope.Record = r
			b.ReportAllocs()
			for range b.N {
				copy(r.Fields, fresh)
				r.Shape = nil
				if v := op.Process(c, r); v != stage.Pass {
					b.Fatal(v)
				}
			}
		})
	}
}
