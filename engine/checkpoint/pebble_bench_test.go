package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// grow fills a stage with n keys of the size of a running aggregate.
func grow(b *testing.B, p *Pebble, n int) {
	b.Helper()
	value := make([]byte, 48)
	for from := 0; from < n; from += 50_000 {
		d := &Delta{Stage: "w"}
		for i := from; i < min(n, from+50_000); i++ {
			binary.BigEndian.PutUint64(value, uint64(i)*0x9e3779b97f4a7c15)
			d.Put(fmt.Sprintf("sensor-%07d", i), value)
		}
		if err := p.Commit(Commit{Flow: "f", Epoch: uint64(from), Deltas: []*Delta{d}}); err != nil {
			b.Fatal(err)
		}
	}
	// What the database does behind this is not what is measured.
	if err := p.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for p.db.Metrics().Compact.NumInProgress > 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// BenchmarkCommit writes changed keys among all keys, to the disk.
func BenchmarkCommit(b *testing.B) {
	for _, all := range []int{10_000, 100_000, 1_000_000} {
		for _, changed := range []int{0, 1000, 10_000} {
			b.Run(fmt.Sprintf("all=%d/changed=%d", all, changed), func(b *testing.B) {
				p, err := Open(b.TempDir(), Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				grow(b, p, all)
				r := rand.New(rand.NewPCG(1, 2))
				position := map[string]Position{"s": {Bytes: []byte("position")}}
				epoch := uint64(0)
				for b.Loop() {
					b.StopTimer()
					d := &Delta{Stage: "w"}
					for range changed {
						d.Put(fmt.Sprintf("sensor-%07d", r.IntN(all)), []byte(fmt.Sprintf("%048d", epoch)))
					}
					epoch++
					b.StartTimer()
					c := Commit{Flow: "f", Epoch: epoch, Deltas: []*Delta{d}, Positions: position}
					if err := p.Commit(c); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkRestore opens a store of a million keys and reads them all.
func BenchmarkRestore(b *testing.B) {
	const keys = 1_000_000
	dir := b.TempDir()
	p, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	grow(b, p, keys)
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		err = p.State("f", "w", func(string, []byte) error { n++; return nil })
		if err != nil || n != keys {
			b.Fatal(n, err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "heap-MiB")
}
