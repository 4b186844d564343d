package deadletter

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"
)

// mark is a line of the marks: every letter of this id that died up to a time
// was settled.
type mark struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	How  Fate      `json:"how"`
}

// marks is the open file of marks, which is only ever appended to.
type marks struct {
	file   *os.File
	buffer []byte
}

// readMarks reads marks. A line that is torn, by a crash, is no mark.
func readMarks(path string) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var m mark
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.ID != "" && m.Time.After(all[m.ID]) {
			all[m.ID] = m.Time
		}
	}
	return all, errors.Join(lines.Err(), f.Close())
}

func openMarks(path string) (*marks, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	m := &marks{file: f}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.Size() > 0 {
		m.buffer = append(m.buffer, '\n') // what a crash has left may end in half a line
	}
	return m, nil
}

func (m *marks) add(id string, until time.Time, how Fate) {
	line, err := json.Marshal(mark{id, until.UTC(), how})
	if err != nil {
		return // a time far outside of all calendars; the letter stays
	}
	m.buffer = append(append(m.buffer, line...), '\n')
}

// flush makes the marks durable.
func (m *marks) flush() error {
	if _, err := m.file.Write(m.buffer); err != nil {
		return err
	}
	m.buffer = m.buffer[:0]
	return m.file.Sync()
}

func (m *marks) close() error { return m.file.Close() }
