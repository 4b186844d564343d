package main

import (
	"bytes"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages"
)

// mortal is telluride with one more step: `mortal: {}` ends the process at
// records that say so, in ways that no recover catches.
func mortal() {
	signal.Ignore(syscall.SIGPIPE)
	kinds := append([]stage.Kind{mortalStep()}, stages.All().Kinds()...)
	os.Exit(execute(os.Args[1:], program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		env: os.LookupEnv, signals: interrupts, grace: 5 * time.Second, kinds: stage.NewRegistry(kinds...),
	}))
}

func mortalStep() stage.Kind {
	type config struct{}
	return stage.DefineStep("mortal", "Ends the process.",
		func(_ *config, f *conf.Fields) { f.Object("mortal", "Nothing to say.", func(*conf.Fields) {}) },
		func(*config, *stage.Builder) stage.OperatorSpec {
			return stage.OperatorSpec{New: func() stage.Operator { return death{} }, RecordWise: true}
		})
}

// deaths are the ways to go, by what a record says.
var deaths = map[string]func(){
	"exits":    func() { os.Exit(3) },
	"killed":   func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} },
	"overflow": func() { debug.SetMaxStack(1 << 16); _ = overflow(0) },
	"panics":   func() { go panic("a goroutine of a stage panics"); select {} },
}

func overflow(n int) int {
	if n < 0 {
		return 0
	}
	return overflow(n+1) + 1
}

type death struct{}

func (death) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	for name, die := range deaths {
		if bytes.Contains(r.Payload, []byte(`"`+name+`"`)) {
			die()
		}
	}
	return stage.Pass
}
