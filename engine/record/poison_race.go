//go:build race

package record

// poison overwrites released memory in race builds, so that a use after
// release shows in a test instead of now and then in production.
func poison(a *Arena) {
	flood(a.bytes[:cap(a.bytes)], 0xDB)
	flood(a.values[:cap(a.values)], Value{kind: String, s: "(used after release)"})
	clear(a.records[:cap(a.records)])
}

// flood sets all of s to v, faster than one by one under the race detector.
func flood[T any](s []T, v T) {
	if len(s) == 0 {
		return
	}
	s[0] = v
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}
