package api

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"time"
)

// machine reads what the process and the machine use. It is used by one
// goroutine at a time.
type machine struct {
	at      time.Time
	process float64 // CPU seconds
	cores   []core
}

// core is the time of one core, in ticks of the kernel.
type core struct{ busy, all uint64 }

// read reads the use since the last call.
func (m *machine) read(now time.Time) Machine {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	out := Machine{
		CPU: []float64{}, Memory: samples[0].Value.Uint64() - samples[2].Value.Uint64(), Heap: samples[1].Value.Uint64(),
		Goroutines: runtime.NumGoroutine(),
	}
	used, cores := processSeconds(), readCores()
	if elapsed := now.Sub(m.at).Seconds(); !m.at.IsZero() && elapsed > 0 {
		out.Process = max(0, used-m.process) / elapsed
		for i := range min(len(cores), len(m.cores)) {
			share := 0.0
			if all := cores[i].all - m.cores[i].all; all > 0 {
				share = float64(cores[i].busy-m.cores[i].busy) / float64(all)
			}
			out.CPU = append(out.CPU, min(1, max(0, share)))
		}
	}
	m.at, m.process, m.cores = now, used, cores
	return out
}

// readCores reads /proc/stat, which only Linux has.
func readCores() []core {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil
	}
	var cores []core
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 8 || !bytes.HasPrefix(fields[0], []byte("cpu")) || len(fields[0]) == len("cpu") {
			continue
		}
		var c core
		// user nice system idle iowait irq softirq steal; what follows is part of user.
		for i, f := range fields[1:min(9, len(fields))] {
			n, _ := strconv.ParseUint(string(f), 10, 64)
			c.all += n
			if i != 3 && i != 4 {
				c.busy += n
			}
		}
		cores = append(cores, c)
	}
	return cores
}
