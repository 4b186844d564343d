//go:build !unix

package api

func processSeconds() float64 { return 0 }
