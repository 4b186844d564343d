package flowtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/fixture"
	"github.com/telluride-stream/telluride/engine/record"
)

// formats are those of fixture files.
var formats = []string{"ndjson", "json", "csv", "lines", "raw"}

// formatOf is the format of a file by its name.
func formatOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return "json"
	case ".csv":
		return "csv"
	case ".txt", ".log":
		return "lines"
	}
	return "ndjson"
}

// readFixture reads the messages of a file.
func readFixture(path, format string) ([]fixture.Message, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var missing *os.PathError
		if errors.As(err, &missing) {
			err = missing.Err
		}
		return nil, fmt.Errorf("read %s: %w%s", path, err, nearFile(path))
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if format == "" {
		format = formatOf(path)
	}
	var all []fixture.Message
	switch format {
	case "json":
		all, err = jsonFixture(data)
	case "csv":
		all, err = csvFixture(data)
	default:
		all, err = lineFixture(data, format)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: there are no messages in it", path)
	}
	return all, nil
}

func jsonFixture(data []byte) ([]fixture.Message, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("expected a JSON list of records: %w", err)
	}
	var all []fixture.Message
	for i, doc := range list {
		m, err := fixture.Parse(doc)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		all = append(all, m)
	}
	return all, nil
}

func csvFixture(data []byte) ([]fixture.Message, error) {
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, len(data)+1)
	s.Split(record.SplitCSV(','))
	if !s.Scan() {
		return nil, errors.Join(errors.New("its first line must name the columns"), s.Err())
	}
	names, err := record.CSVColumns(s.Bytes(), ',')
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	rows, err := record.NewCSV(names, ',', nil)
	if err != nil {
		return nil, err
	}
	var all []fixture.Message
	for s.Scan() {
		if len(s.Bytes()) == 0 {
			continue
		}
		doc, err := rows.Row(nil, s.Bytes())
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(all)+1, err)
		}
		all = append(all, fixture.Message{Payload: doc})
	}
	return all, s.Err()
}

func lineFixture(data []byte, format string) ([]fixture.Message, error) {
	var all []fixture.Message
	n := 0
	for line := range bytes.Lines(data) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		var m fixture.Message
		var err error
		switch format {
		case "lines":
			m.Payload, err = record.LineToJSON(nil, line, "line")
		case "raw":
			m.Payload = bytes.Clone(line)
		default:
			m, err = fixture.Parse(line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// nearFile is advice for a file that is not there.
func nearFile(path string) string {
	entries, _ := os.ReadDir(filepath.Dir(path)) // a folder that is missing holds nothing near
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if near := diag.Suggest(filepath.Base(path), names); near != "" && !slices.Contains(names, filepath.Base(path)) {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
