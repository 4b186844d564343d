package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestThePercentageFollowsWhatIsScanned(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		live, scanned uint64
		want          int
	}{
		{0, 0, 100},
		{10 * mib, 10 * mib, 100},
		{64 * mib, 0, 100},
		{128 * mib, 0, 50},
		{640 * mib, 100, 10},
		{640 * mib, 320 * mib, 50},
		{640 * mib, 640 * mib, 100},
		{1 << 40, 0, 1},
	} {
		if got := percent(c.live, c.scanned); got != c.want {
			t.Errorf("%d MiB live, %d MiB scanned: %d percent, want %d", c.live/mib, c.scanned/mib, got, c.want)
		}
	}
}

// current reads the percentage that is set, and sets nothing: the pace may be
// setting another one meanwhile.
func current() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

func TestMuchStateWithoutPointersLeavesLessRoom(t *testing.T) {
	t.Setenv("GOGC", "")
	stop := Pace()
	state := make([]byte, 512<<20)
	for deadline := time.Now().Add(time.Minute); current() > 20; {
		if time.Now().After(deadline) {
			t.Fatalf("half a gigabyte of bytes leaves %d percent", current())
		}
		runtime.GC()
	}
	runtime.KeepAlive(state)
	stop()
	if p := current(); p != 100 {
		t.Errorf("%d percent behind stop", p)
	}
}

func TestWhatTheUserHasSetStays(t *testing.T) {
	t.Setenv("GOGC", "300")
	defer debug.SetGCPercent(debug.SetGCPercent(300))
	stop := Pace()
	runtime.GC()
	stop()
	if p := current(); p != 300 {
		t.Errorf("GOGC=300 became %d", p)
	}
}
