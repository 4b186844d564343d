// Command telluride runs, checks and explains flows.
//
// It wires the engine to a process: verbs, flags, signals, exit codes and what
// a person sees. It must not know how a flow works.
package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // windows of days know time zones, also where the system has no zone data
)

func main() {
	// Without this, a write to a pipe whose reader has gone would kill the
	// process; it is an error of the write instead, and ends the flow quietly.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(execute(os.Args[1:], program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		env: os.LookupEnv, signals: interrupts, grace: 5 * time.Second,
	}))
}

// interrupts delivers what asks a process to end, until stop is called.
func interrupts() (signals <-chan os.Signal, stop func()) {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	return ch, func() { signal.Stop(ch) }
}
