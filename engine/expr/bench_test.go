package expr

import (
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

func BenchmarkEval(b *testing.B) {
	for name, source := range map[string]string{
		"filter":  `reading > 10 && line_id == "line_1"`,
		"celsius": `(reading - 32) / 1.8`,
		"in":      `line_id in ["line_2", "line_1"]`,
		"default": `(absent ?? reading) * count + 1`,
		"list":    `any(tags, # == "b")`,
	} {
		l := record.NewLayout()
		p, err := Compile(source, Env{Layout: l})
		if err != nil {
			b.Fatal(err)
		}
		s := scope(b, l, reading)
		b.Run(name+"/closures", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = p.Eval(s)
			}
		})
		forced := p.onMachine()
		b.Run(name+"/machine", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = forced.Eval(s)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(`reading > 10 && line_id == "line_1"`, Env{}); err != nil {
			b.Fatal(err)
		}
	}
}
