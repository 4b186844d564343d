package window_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

// TestStateOfAnEarlierVersionGoesOn: what version 1 of the state is, byte for
// byte, as it was first written. before is the state behind some records, and
// after that behind one more.
func TestStateOfAnEarlierVersionGoesOn(t *testing.T) {
	const kept = "window: {by: k, global: true, expire_after: 20s, emit: {every: 1s}, aggregate: {n: count(), lo: min(x), hi: max(x), mid: mean(y), dev: stddev(y)EXTRA}}"
	for _, c := range []struct{ name, second, extra, before, after string }{
		{"packed", `12`, "", "01ffffffffffffffffff01030180a8d6b90780f882ad1606060500000000000004c0060418060200000200000000000010400000000000000000060000000000000040000000000000e03f0180f882ad16", "01ffffffffffffffffff01040180a8d6b90780a0d9e61d08080500000000000004c00804180802000006000000000000104000000000000000000800000000000004400000000000000c400180a0d9e61d"},
		{"text", `"text"`, "", "01ffffffffffffffffff01030180a8d6b90780f882ad1606060500000000000004c006060474657874060200000200000000000010400000000000000000060000000000000040000000000000e03f0180f882ad16", "01ffffffffffffffffff01040180a8d6b90780a0d9e61d08080500000000000004c0080604746578740802000006000000000000104000000000000000000800000000000004400000000000000c400180a0d9e61d"},
		{"not packed", `12`, `, top: "top(x, 2)"`, "01ffffffffffffffffff01030180a8d6b90780f882ad1606060500000000000004c0060418060200000200000000000010400000000000000000060000000000000040000000000000e03f06030406020418020500000000000004c0020180f882ad16", "01ffffffffffffffffff01040180a8d6b90780a0d9e61d08080500000000000004c00804180802000006000000000000104000000000000000000800000000000004400000000000000c4008040406020418020500000000000004c002050000000000001d40020180a0d9e61d"},
	} {
		f := build(t, strings.Replace(kept, "EXTRA", c.extra, 1))
		key := string(record.AppendKey(nil, record.StringValue("a")))
		more := at(4, `{"k":"a","x":7.25,"y":4}`)
		written := newLane(t, f)
		written.batch(0, record.None, at(1, `{"k":"a","x":3,"y":1.5}`), at(2, `{"k":"a","x":%s,"y":2}`, c.second))
		written.batch(second, record.None)
		written.batch(second, record.Checkpoint, at(3, `{"k":"a","x":-2.5,"y":2.5}`))
		if got := hex.EncodeToString(written.state[key]); got != c.before {
			t.Errorf("%s: written is\n%s\nwant\n%s", c.name, got, c.before)
		}
		read := newLane(t, f)
		value, err := hex.DecodeString(c.before)
		if err != nil {
			t.Fatal(err)
		}
		read.state[key], read.now, read.mark = value, second, 3*second
		read.restart()
		read.batch(second, record.Checkpoint, more)
		if got := hex.EncodeToString(read.state[key]); got != c.after {
			t.Errorf("%s: it goes on as\n%s\nwant\n%s", c.name, got, c.after)
		}
	}
}
