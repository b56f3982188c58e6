//go:build race

package crash_test

// raceDetector says that this test was built with the race detector; the daemon is then, too.
const raceDetector = true
