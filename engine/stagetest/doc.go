// Package stagetest is the conformance suite that every stage must pass: what
// the contracts of package stage ask of a kind, checked from outside, for any
// kind.
//
// It knows the contracts and the packages below them. It must not know any
// concrete stage, nor how a flow runs.
package stagetest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/telluride-stream/telluride/engine/stage"
)

// Sample is a config to test a kind with, and what it needs around it.
type Sample struct {
	Name string
	// Config is the stage as it stands in a flow file. Relative paths in it
	// are those of a folder of the test's own.
	Config string
	// Files are made in that folder: name and content.
	Files map[string]string
	// Document makes the i-th record for an operator or sink, a JSON object.
	// nil: {"id": i}.
	Document func(rnd *rand.Rand, i int) string
	// Stdin makes the standard input of a source, and a way to close it.
	Stdin func() (io.Reader, func())
	// Blocks says that a source waits for ever at some point, rather than end.
	Blocks bool
	// Clocked names the fields that a source fills from the clock, and that
	// are others when it is read again.
	Clocked []string
	// Written reads back what a sink has written; nil: what it wrote to
	// standard output.
	Written func() (string, error)
	// Unopenable says that Open must fail.
	Unopenable bool
	// Outside says that Open reaches for what the test does not have, such as
	// a broker: no instance is opened.
	Outside bool
	// Ticking says that results depend on when batches come: operators with
	// such results are not compared across a restart.
	Ticking bool
}

func (s *Sample) document(rnd *rand.Rand, i int) string {
	if s.Document == nil {
		return fmt.Sprintf(`{"id":%d}`, i)
	}
	return s.Document(rnd, i)
}

// Run checks a kind with its own example and with further samples. The
// example needs what the first sample without a Config has around it.
//
// seed makes the random part repeatable; 0 takes another one each time.
func Run(t *testing.T, k stage.Kind, seed uint64, samples ...Sample) {
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	example := Sample{}
	rest := samples[:0:0]
	for _, s := range samples {
		if s.Config == "" {
			example = s
		} else {
			rest = append(rest, s)
		}
	}
	example.Name, example.Config = "example", k.Example
	t.Run("docs", func(t *testing.T) { documented(t, k) })
	for _, s := range append([]Sample{example}, rest...) {
		t.Run(s.Name, func(t *testing.T) {
			c := &checked{kind: k, sample: s, seed: seed}
			t.Run("config", func(t *testing.T) { c.in(t); c.configs(t) })
			t.Run("behaviour", func(t *testing.T) {
				c.in(t)
				switch k.Role {
				case stage.RoleSource:
					c.sources(t)
				case stage.RoleSink:
					c.sinks(t)
				case stage.RoleFeed:
					// What a feed brings is up to what it is fed by.
				default:
					c.operators(t)
				}
			})
		})
	}
}

// checked is a kind with one sample.
type checked struct {
	kind   stage.Kind
	sample Sample
	seed   uint64
}

// rnd is a source of random numbers, a different one for each purpose.
func (c *checked) rnd(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, purpose)) }

// in makes the sample's folder and files, and works in it until the test ends.
func (c *checked) in(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range c.sample.Files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// listing is every file below the working directory, with its size.
func listing(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.Walk(".", func(path string, info os.FileInfo, err error) error {
		if err == nil {
			files = append(files, fmt.Sprintf("%s %d", path, info.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
