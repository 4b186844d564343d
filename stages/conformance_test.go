package stages_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/stagetest"
	"github.com/telluride-stream/telluride/stages"
)

// TestEveryStageConforms runs the conformance suite over every kind, with its
// own example and the samples here.
func TestEveryStageConforms(t *testing.T) {
	samples := map[string][]stagetest.Sample{
		"source file":     fileSources(),
		"source generate": generators(),
		"sink file":       fileSinks(),
		"stage window":    windows(),
		"stage batch":     batches(),
		// These need a broker; their package has one in its tests.
		"source rabbitmq": {{Outside: true}},
		"sink rabbitmq":   {{Outside: true}},
		"feed rabbitmq":   {{Outside: true}},
	}
	for name, configs := range steps() {
		samples["step "+name] = configs
	}
	for _, k := range stages.All().Kinds() {
		name := k.Role.String() + " " + k.Name
		t.Run(name, func(t *testing.T) { stagetest.Run(t, k, 0, samples[name]...) })
		delete(samples, name)
	}
	for name := range samples {
		t.Errorf("there are samples of %s, which is no kind", name)
	}
}

// document is a record with the fields that the examples read, some of them
// missing or of another type now and then.
func document(rnd *rand.Rand, i int) string {
	fields := []string{fmt.Sprintf(`"id":%d`, i)}
	add := func(format string, args ...any) {
		if rnd.IntN(12) > 0 {
			fields = append(fields, fmt.Sprintf(format, args...))
		}
	}
	odd := func(value string) string {
		switch rnd.IntN(25) {
		case 0:
			return "null"
		case 1:
			return `"odd"`
		}
		return value
	}
	add(`"sensor_id":"s%d"`, rnd.IntN(4))
	add(`"line_id":"line_%d"`, rnd.IntN(2))
	add(`"device_id":"d%d"`, rnd.IntN(3))
	add(`"event_id":%d`, rnd.IntN(8))
	add(`"reading":%s`, odd(fmt.Sprint(float64(rnd.IntN(8000))/4-100)))
	add(`"celsius":%s`, odd(fmt.Sprint(rnd.IntN(120)-10)))
	add(`"temp":%d,"ts":"2026-01-01T00:00:00Z"`, rnd.IntN(9))
	add(`"site":{"name":"n%d","address":"a"}`, rnd.IntN(3))
	add(`"debug":[1,{"x":"ü\u0041"}]`)
	switch rnd.IntN(4) {
	case 0:
		fields = append(fields, fmt.Sprintf(`"readings":[{"x":%d},{"x":"b"}]`, rnd.IntN(9)))
	case 1:
		fields = append(fields, `"readings":[]`)
	case 2:
		fields = append(fields, `"readings":[{"x":1},2,null]`)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func fileSources() []stagetest.Sample {
	var ndjson, text, csv strings.Builder
	csv.WriteString("name,zip,note\n")
	for i := range 37 {
		fmt.Fprintf(&ndjson, `{"id":%d}`+"\n", i)
		if i%9 == 4 {
			ndjson.WriteString("\n") // a dead letter
		}
		fmt.Fprintf(&text, "line %d\r\n", i)
		fmt.Fprintf(&csv, "n%d,0%d,\"two\nlines, \"\"quoted\"\"\"\n", i, i)
		if i%7 == 3 {
			csv.WriteString("too,few\n")
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, ndjson.String()); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	rest := csv.String()
	return []stagetest.Sample{
		{Files: map[string]string{"readings/b.csv": rest, "readings/a.csv": "name,zip\nx,01\n", "readings/c.csv": "zip,name\n02,y\n"}},
		{Name: "json", Config: "file: {path: in.ndjson}", Files: map[string]string{"in.ndjson": ndjson.String() + `{"id":"without a newline"}`}},
		{Name: "long lines", Config: "file: {path: in.ndjson, max_record: 9}", Files: map[string]string{"in.ndjson": ndjson.String()}},
		{Name: "lines", Config: "file: {path: in.txt, lines: {field: text}}", Files: map[string]string{"in.txt": text.String()}},
		{Name: "columns", Config: "file: {path: in.csv, csv: {columns: [a, b, c]}}", Files: map[string]string{"in.csv": rest}},
		{Name: "gzip", Config: "file: {path: in.ndjson.gz}", Files: map[string]string{"in.ndjson.gz": zipped.String()}},
		{Name: "follow", Config: "file: {path: in.ndjson, follow: true}", Files: map[string]string{"in.ndjson": ndjson.String()}, Blocks: true},
		{Name: "standard input", Config: `file: {path: "-"}`, Blocks: true, Stdin: func() (io.Reader, func()) {
			r, w := io.Pipe()
			go func() {
				for i := range 9 {
					if _, err := fmt.Fprintf(w, `{"id":%d}`+"\n", i); err != nil {
						return
					}
				}
			}()
			return r, func() { w.Close() }
		}},
		{Name: "missing", Config: "file: {path: nowhere.ndjson}", Unopenable: true},
		{Name: "empty glob", Config: `file: {path: "*.csv"}`, Unopenable: true},
	}
}

func generators() []stagetest.Sample {
	return []stagetest.Sample{
		{Clocked: []string{"timestamp"}},
		{Name: "as fast as possible", Config: "generate: {sensors: {}, realtime: false, seed: 3, start: 2026-01-01T00:00:00Z}"},
		{Name: "rows", Config: `generate: {rows: {n: "index * 2", x: "normal", t: "now()"}, count: 23, seed: 5, realtime: false, start: 2026-01-01T00:00:00Z}`},
		{Name: "rows in real time", Config: `generate: {rows: {n: index}, every: 3s, count: 23, seed: 1}`},
	}
}

func fileSinks() []stagetest.Sample {
	written := func(path string) func() (string, error) {
		return func() (string, error) {
			text, err := os.ReadFile(path)
			return string(text), err
		}
	}
	return []stagetest.Sample{
		{Document: document, Written: written("out/readings.csv")},
		{Name: "json", Config: "file: {path: out.ndjson, sync: true}", Document: document, Written: written("out.ndjson")},
		{Name: "lines", Config: "file: {path: a/b/out.txt, format: lines, field: site.name}", Document: document, Written: written("a/b/out.txt")},
		{Name: "append", Config: "file: {path: out.ndjson, mode: append}", Document: document,
			Files: map[string]string{"out.ndjson": `{"there":"before"}`}, Written: written("out.ndjson")},
		{Name: "a folder", Config: "file: {path: out}", Files: map[string]string{"out/x": ""}, Unopenable: true},
		{Name: "there already", Config: "file: {path: out.ndjson, mode: fail}", Files: map[string]string{"out.ndjson": "{}\n"}, Unopenable: true},
	}
}

const plainAggregates = `
  aggregate:
    n: "count()"
    sum: "sum(celsius)"
    min: "min(reading)"
    max: {value: "max(celsius)", where: "line_id == 'line_1'"}
    mean: "mean(celsius)"
    stddev: "stddev(celsius)"
    first: "first(id)"
    last: "last(id)"
`

const keptAggregates = `    sma: "sma(celsius, 3)"
    quantile: "quantile(celsius, 0.9)"
    distinct: "distinct(id)"
    top: "top(device_id, 2)"
    collect: "collect(id, 4)"
`

func windows() []stagetest.Sample {
	all := []stagetest.Sample{{Document: document}}
	for _, kind := range []string{
		"tumbling: 3s", "tumbling: 2s\n  allowed_lateness: 4s", "hopping: {size: 4s, every: 1500ms}", "hopping: {size: 2s, every: 1s}\n  allowed_lateness: 3s",
		"session: {gap: 1s}", "session: {gap: 2s, max: 10s}\n  allowed_lateness: 2s", "count: 3", "sliding: {last: 4}", "sliding: {last: 2s}",
		"global: true\n  emit: {every: 1s}", "global: true\n  emit: {every: 500ms, changed_only: false}", "tumbling: 5s\n  emit: {every: 300ms}", "count: 5\n  emit: {every: 1s}",
		"session: {gap: 2s}\n  emit: {every: 500ms, changed_only: false}", "tumbling: 1d\n  timezone: Europe/Vienna",
	} {
		for by, key := range map[string]string{"": "  by: sensor_id\n", " by two": "  by: [line_id, \"event_id % 2\"]\n", " of everything": "  by: []\n"} {
			aggregates := plainAggregates
			if by == " by two" {
				aggregates += keptAggregates
			}
			if by != "" && strings.Contains(kind, "\n") || by == " of everything" && !strings.HasPrefix(kind, "session") {
				continue // once is enough
			}
			all = append(all, stagetest.Sample{
				Name: kind + by, Config: "window:\n" + key + "  " + kind + aggregates, Document: document,
				Ticking: strings.Contains(kind, "emit"),
			})
		}
	}
	return all
}

func batches() []stagetest.Sample {
	all := []stagetest.Sample{{Document: document}}
	for _, config := range []string{
		"{size: 3, timeout: 1ms}", "{size: 4, timeout: 500ms, by: sensor_id}", "{bytes: 300, timeout: 1h}", "{size: 1}",
		"{size: 3, timeout: 700ms, as: message}", "{size: 4, timeout: 1h, by: [line_id, event_id], as: message, format: ndjson}",
	} {
		all = append(all, stagetest.Sample{Name: config, Config: "batch: " + config, Document: document})
	}
	return all
}

func steps() map[string][]stagetest.Sample {
	all := map[string][]stagetest.Sample{}
	for name, configs := range map[string][]string{
		"filter":      {`"celsius > 20"`, `"site.name == 'n1' && !(event_id in [1, 2])"`},
		"set":         {`{twice: "id * 2", site.name: "twice + 1", celsius: "nil"}`, `{"readings[0].x": "id"}`},
		"select":      {"[id, site.name, readings]"},
		"drop_fields": {"site"},
		"rename":      {"{id: celsius, celsius: id}"},
		"explode":     {"readings", "{field: readings, keep_parent: false}", "{field: readings, as: one, on_empty: keep, max: 2}"},
		"dedupe":      {"id", "{by: [event_id, line_id], within: 2s}", "{by: event_id, max: 2}"},
		"assert":      {`"celsius < 80"`},
		"lookup": {
			`{table: devices.csv, key: device_id, into: device, on_missing: dead}`,
			`{table: devices.csv, key: "'m' + device_id", column: model, fields: {where: site}, on_missing: drop}`,
		},
	} {
		files := map[string]string{"devices.csv": "id,site,model\nd0,north,md0\nd1,south,md1\n"}
		all[name] = []stagetest.Sample{{Document: document, Files: files}}
		for _, config := range configs {
			all[name] = append(all[name], stagetest.Sample{Name: config, Config: name + ": " + config, Document: document, Files: files})
		}
	}
	return all
}
