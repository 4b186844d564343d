package file

import "bytes"

// nextRow cuts the next CSV row. Lines are looked at one by one, each once:
// a row ends with the first line that ends outside of quotes. What becomes of
// a row depends on its bytes alone, not on the blocks they come in.
func (s *splitter) nextRow() (p piece, ok bool) {
	lines := 1 + bytes.Count(s.data[s.start:s.row], newline)
	for {
		end := bytes.IndexByte(s.data[s.searched:], '\n')
		if end < 0 {
			s.searched = len(s.data)
			break
		}
		end += s.searched
		s.quoted = quoted(s.data[s.row:end], s.delimiter, s.quoted)
		switch {
		case lines > 1 && s.above(end), s.quoted && end-s.start > s.limit:
			return s.unclosed(), true
		case !s.quoted:
			return s.cut(end, end+1, lines), true
		}
		s.searched, s.row = end+1, end+1
		lines++
	}
	if !s.eof {
		return s.rest()
	}
	switch {
	case s.start == len(s.data):
		return p, false
	case lines > 1 && s.above(len(s.data)), quoted(s.data[s.row:], s.delimiter, s.quoted):
		return s.unclosed(), true
	}
	return s.cut(len(s.data), len(s.data), lines), true
}

// above says whether the row that ends at end is above the limit.
func (s *splitter) above(end int) bool {
	if s.data[end-1] == '\r' {
		end--
	}
	return end-s.start > s.limit
}

var newline = []byte{'\n'}

// unclosed cuts the first line off a row whose quoted field does not end
// within the limit, so that one stray quote costs one line and not the rest
// of the file. The price: the lines of a field that really is that long are
// taken for rows.
func (s *splitter) unclosed() piece {
	end := bytes.IndexByte(s.data[s.start:], '\n')
	var p piece
	if end < 0 {
		p = s.cut(len(s.data), len(s.data), 1)
	} else {
		p = s.cut(s.start+end, s.start+end+1, 1)
	}
	p.open = p.long == 0
	return p
}

// quoted says whether a quoted field is open at the end of a line, without
// its line end, which begins inside one when open. As in RFC 4180 a quote
// opens a field only at its start.
func quoted(line []byte, delimiter byte, open bool) bool {
	if !open && bytes.IndexByte(line, '"') < 0 {
		return false
	}
	for {
		if !open {
			if len(line) == 0 || line[0] != '"' {
				i := bytes.IndexByte(line, delimiter)
				if i < 0 {
					return false
				}
				line = line[i+1:]
				continue
			}
			line = line[1:]
		}
		i := bytes.IndexByte(line, '"')
		if i < 0 {
			return true
		}
		line = line[i+1:]
		if len(line) > 0 && line[0] == '"' {
			line, open = line[1:], true
			continue
		}
		i = bytes.IndexByte(line, delimiter)
		if i < 0 {
			return false
		}
		line, open = line[i+1:], false
	}
}
