package flowtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Find reads the tests that paths stand for: folders with all that is below
// them, files of tests, and flow files, whose tests are those inside and those
// of NAME_test.yaml beside them. Without paths it is the working directory.
func Find(paths []string) ([]*File, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var found []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w%s", path, cause(err), nearFile(path))
		}
		one := beside(path)
		if info.IsDir() {
			if one, err = below(path); err != nil {
				return nil, err
			}
		}
		for _, file := range one {
			if !slices.Contains(found, file) {
				found = append(found, file)
			}
		}
	}
	var files []*File
	for _, path := range found {
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, cause(err))
		}
		if !IsTests(path) && !hasTests(src) {
			continue
		}
		files = append(files, Parse(path, src))
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no tests here; a test stands in NAME_test.yaml beside NAME.yaml, or behind tests: in it", strings.Join(paths, ", "))
	}
	return files, nil
}

// beside is a file and, of a flow file, the file of its tests.
func beside(path string) []string {
	files := []string{path}
	if IsTests(path) {
		return files
	}
	ext := filepath.Ext(path)
	tests := strings.TrimSuffix(path, ext) + Suffix + ext
	if _, err := os.Stat(tests); err == nil {
		files = append(files, tests)
	}
	return files
}

// below lists the YAML files of a folder and of those in it, hidden ones left
// out. The folder itself may be a link.
func below(folder string) (files []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", folder, cause(err))
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		ext := filepath.Ext(path)
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			more, err := below(path)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		case ext == ".yaml" || ext == ".yml":
			files = append(files, path)
		}
	}
	return files, nil
}

// hasTests says whether a file may be a flow with tests: in it.
func hasTests(src []byte) bool {
	return bytes.HasPrefix(src, []byte("tests:")) || bytes.Contains(src, []byte("\ntests:"))
}
