package window

// keyBytes holds the bytes of many keys in pages without pointers, so that a
// key costs its length and the garbage collector nothing. What is given back
// is used again for keys of the same number of words.
type keyBytes struct {
	pages [][]byte
	used  int                            // of the last page
	free  [maxShort/keyWord + 1][]keyRef // by words
}

// keyRef is where a key lies, in words from the beginning of the first page.
type keyRef uint32

const (
	keyWord  = 4
	keyPage  = 64 << 10
	maxShort = 256 // longer keys are not kept here
)

func keyWords(n int) int { return (n + keyWord - 1) / keyWord }

// add copies a key of at most maxShort bytes.
func (k *keyBytes) add(key string) keyRef {
	words := keyWords(len(key))
	if words == 0 {
		return 0
	}
	var at keyRef
	if list := k.free[words]; len(list) > 0 {
		at, k.free[words] = list[len(list)-1], list[:len(list)-1]
	} else {
		if len(k.pages) == 0 || k.used+words*keyWord > keyPage {
			k.pages = append(k.pages, make([]byte, keyPage))
			k.used = 0
		}
		at = keyRef(((len(k.pages)-1)*keyPage + k.used) / keyWord)
		k.used += words * keyWord
	}
	copy(k.bytes(at, len(key)), key)
	return at
}

// bytes are those of a key of length n. They are valid until it is dropped.
func (k *keyBytes) bytes(at keyRef, n int) []byte {
	if n == 0 {
		return nil
	}
	const words = keyPage / keyWord
	from := int(at%words) * keyWord
	return k.pages[at/words][from : from+n]
}

func (k *keyBytes) drop(at keyRef, n int) {
	if words := keyWords(n); words > 0 {
		k.free[words] = append(k.free[words], at)
	}
}
