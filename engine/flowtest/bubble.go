package flowtest

import (
	"errors"
	"fmt"
	"runtime/debug"
	"testing"
	"testing/synctest"
)

// errRest is why a bubble could not be left: goroutines of the flow wait for
// something that nobody will bring.
var errRest = errors.New("the flow has not ended: goroutines of it wait for one another")

// bubble runs f, and all that it starts, in a bubble of its own, and returns
// when all of that has ended. The bubble's time stands still until f sleeps.
//
// synctest asks for a test and uses nothing of it but whether it has failed,
// so an empty one will do; a panic must not reach it, though.
func bubble(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("%w (%v)", errRest, p))
		}
	}()
	synctest.Test(new(testing.T), func(*testing.T) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		err = f()
	})
	return err
}

// atRest returns when every other goroutine of the bubble waits for something
// that only the caller can bring.
func atRest() { synctest.Wait() }
