package conf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/diag"
)

// searchLimit bounds the size of a file in which the place of a syntax error is searched by parsing prefixes.
const searchLimit = 64 << 10

// fault is a syntax error as the YAML parser tells it. Its line is that of the construct in which
// the parser was, which may start long before the error; 0 when it is unknown.
type fault struct {
	line    int
	message string
}

// syntaxError reports what the YAML parser refused: where, as exactly as can be found, and in words that say what to do.
func (s *Scope) syntaxError(err error) {
	src := string(s.Source)
	src = strings.TrimPrefix(src, "\ufeff")
	f := s.fault(src, err)
	at := diag.Pos{Line: f.line}
	if found, ok := f.search(src); ok {
		at = found
	}
	at.Line = max(at.Line, 1)
	line, _ := s.line(at.Line)
	if at.Col == 0 {
		at.Col = len(line) - len(strings.TrimLeft(line, " \t")) + 1
	}
	e := explainer{scope: s, fault: f.message, at: at, line: line}
	message, advice := e.explain()
	s.errorf(diag.Span{File: s.File, Start: e.at, End: e.end}, message, advice)
}

var lineOf = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// fault reads the parser's error. The parser leaves the line out where it is the first, and counts
// from zero or one by the kind of the error; a comment put in front of the file makes the line certain.
func (s *Scope) fault(src string, err error) fault {
	line, message := split(err)
	if shifted := parseError("#\n" + src); shifted != nil {
		if l, m := split(shifted); m == message && l > 0 {
			line = l
			if !parserFault(m) {
				line--
			}
		}
	}
	return fault{line: line, message: message}
}

// parserFault says that an error comes from the YAML parser, which counts lines from zero, not from its scanner.
func parserFault(message string) bool {
	for _, m := range []string{"did not find expected key", "did not find expected '-'", "did not find expected node content", "did not find expected ','", "did not find expected <"} {
		if strings.HasPrefix(message, m) {
			return true
		}
	}
	return false
}

func split(err error) (line int, message string) {
	m := lineOf.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	line, _ = strconv.Atoi(m[1])
	return line, m[2]
}

func parseError(src string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	var n yaml.Node
	return yaml.Unmarshal([]byte(src), &n)
}

// search finds where the error is, by the shortest prefix of the file that has the very same error: the
// parser reads from front to back, so it fails in the same way on every longer one.
func (f fault) search(src string) (diag.Pos, bool) {
	if len(src) > searchLimit {
		return diag.Pos{}, false
	}
	// A line in front makes sure that the message names the line of the construct, so that it stays the same.
	src = "#\n" + src
	full := parseError(src)
	if full == nil {
		return diag.Pos{}, false
	}
	same := func(n int) bool {
		err := parseError(src[:n])
		return err != nil && err.Error() == full.Error()
	}
	low, high := 2, len(src)
	for low < high {
		mid := (low + high) / 2
		if same(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	// The error is at the last character of that prefix.
	prefix := src[:low]
	line := strings.Count(prefix, "\n")
	last := prefix[strings.LastIndexByte(prefix, '\n')+1:]
	if last == "" && line > 1 {
		prefix = strings.TrimSuffix(prefix, "\n")
		line--
		last = prefix[strings.LastIndexByte(prefix, '\n')+1:]
	}
	return diag.Pos{Line: max(1, line), Col: max(1, utf8.RuneCountInString(last))}, true
}
