package generate

import "math"

// chance gives the random numbers of one record. They depend on the seed and
// the record's index only, so that a generator can go on at any index.
type chance struct {
	seed, index uint64
}

// The streams of a record's numbers.
const (
	uniformStream = iota
	radiusStream
	angleStream
)

// bits is a 64-bit hash of seed, index and stream: three rounds of the
// finalizer of SplitMix64 (Steele, Lea and Flood: Fast Splittable
// Pseudorandom Number Generators, 2014).
func (c chance) bits(stream uint64) uint64 {
	return mix(mix(mix(c.seed+golden)+c.index*golden) + stream)
}

const golden = 0x9E3779B97F4A7C15

func mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// uniform is evenly distributed over [0, 1).
func (c chance) uniform() float64 { return unit(c.bits(uniformStream)) }

func unit(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }

// normal has mean 0 and variance 1 (Box and Muller, 1958).
func (c chance) normal() float64 {
	radius := math.Sqrt(-2 * math.Log(1-unit(c.bits(radiusStream)))) // 1-x is never 0
	return radius * math.Cos(2*math.Pi*unit(c.bits(angleStream)))
}
