package diag

// Suggest is the candidate that word was probably meant to be, or "". A candidate is near
// when at most a third of word (and at least one character) is inserted, removed, replaced
// or swapped with its neighbour; of several the nearest, then the first, is taken. A word that is itself a candidate suggests nothing.
func Suggest(word string, candidates []string) string {
	w := []rune(word)
	if len(w) == 0 || len(w) > 100 {
		return ""
	}
	limit := max(1, len(w)/3)
	best, bestDistance := "", limit+1
	for _, c := range candidates {
		if c == word {
			return ""
		}
		r := []rune(c)
		if len(r) > len(w)+limit || len(r) < len(w)-limit || len(r) == 0 {
			continue
		}
		// One letter is one step from any other letter; that is no near miss.
		if d := distance(w, r); d < bestDistance && d < max(len(w), len(r)) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the optimal string alignment form of the Damerau-Levenshtein distance.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
