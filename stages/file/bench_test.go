package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

// BenchmarkSource reads a file that lies in the system's cache, to nowhere.
func BenchmarkSource(b *testing.B) {
	const reading = `{"device_id":"device_3","line_id":"line_1","reading":71.234,"sensor_id":"sensor_000123","timestamp":"2024-05-01T12:00:00.000Z"}`
	const lines = 400_000
	for _, c := range []struct{ name, file, text string }{
		{"json", "a.ndjson", strings.Repeat(reading+"\n", lines)},
		{"csv", "a.csv", "device_id,line_id,reading,sensor_id,timestamp\n" + strings.Repeat("device_3,line_1,71.234,sensor_000123,2024-05-01T12:00:00.000Z\n", lines)},
		{"lines", "a.log", strings.Repeat(strings.Repeat("word ", 25)+"\n", lines)},
		{"gzip", "a.ndjson.gz", strings.Repeat(reading+"\n", lines)},
	} {
		b.Run(c.name, func(b *testing.B) {
			config := config(write(b, filepath.Join(b.TempDir(), c.file), c.text))
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				r := source(config, 1024, io.Discard)
				if err := r.Open(context.Background(), nil); err != nil {
					b.Fatal(err)
				}
				n := 0
				for {
					in, err := r.Read(context.Background())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					n += len(in.Batch.Records)
					in.Batch.Release()
				}
				if n != lines {
					b.Fatalf("%d records, want %d", n, lines)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkSink(b *testing.B) {
	payload := []byte(`{"device_id":"device_3","line_id":"line_1","reading":71.234,"sensor_id":"sensor_000123","timestamp":"2024-05-01T12:00:00.000Z"}`)
	records := make([]record.Record, 1024)
	for i := range records {
		records[i].Payload = bytes.Clone(payload)
	}
	w := sink(filepath.Join(b.TempDir(), "x"), modeTruncate, false)
	if err := w.Open(context.Background()); err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	b.SetBytes(int64(len(records) * (len(payload) + 1)))
	for b.Loop() {
		if _, err := w.Write(context.Background(), records); err != nil {
			b.Fatal(err)
		}
		// The file does not grow beyond what a small disk holds.
		if info, err := w.file.Stat(); err == nil && info.Size() > 1<<28 {
			if err := w.file.Truncate(0); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(records))*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
