//go:build !unix

package main

import "os"

// lockFile does nothing where folders cannot be locked: what is in them has
// locks of its own.
func lockFile(*os.File) error { return nil }
