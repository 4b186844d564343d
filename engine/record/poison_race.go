//go:build race

package record

// poison overwrites released memory in race builds, so that a use after
// release shows in a test instead of now and then in production.
func poison(a *Arena) {
	b := a.bytes[:cap(a.bytes)]
	for i := range b {
		b[i] = 0xDB
	}
	for i := range a.values[:cap(a.values)] {
		a.values[:cap(a.values)][i] = Value{kind: String, s: "(used after release)"}
	}
	clear(a.records[:cap(a.records)])
}
