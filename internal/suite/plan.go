package main

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
)

// apart are the packages that mostly wait, for systems of their own that boot and install: each runs beside
// whatever else runs, from the beginning.
var apart = []string{"test/packages"}

// alone are the packages beside which no other of the ordinary ones runs, and why.
var alone = map[string]string{
	"watch/proctable": "it holds its counts and what the kernel tells against all processes of the machine",
	"test/cyrus":      "it borrows the host: it installs Cyrus, and counts what that starts",
	"test/hostile":    "it takes all inotify instances and watches that a user may have",
}

// longest are the packages that take more than half a minute, the longest first: the others fill what these
// leave.
var longest = []string{"watch", "linker", "control/page", "demo", "test/powercut", "test/crash", "test/administrator", "cmd/relinkd", "control"}

// atOnce is how many packages run at once for each processor: most of a test's time is waiting.
const atOnce = 2

// schedule runs all binaries and returns what their tests have said, in the order of their packages.
func schedule(binaries []binary, run func(binary) result) []result {
	var beside, exclusive []binary
	var results []result
	var mu sync.Mutex
	take := func(b binary) {
		got := run(b)
		mu.Lock()
		defer mu.Unlock()
		results = append(results, got)
	}
	var apartly, ordinary sync.WaitGroup
	for _, b := range binaries {
		switch {
		case slices.Contains(apart, b.pkg):
			apartly.Go(func() { take(b) })
		case alone[b.pkg] != "":
			exclusive = append(exclusive, b)
		default:
			beside = append(beside, b)
		}
	}
	slices.SortStableFunc(beside, func(a, b binary) int { return cmp.Compare(rank(a.pkg), rank(b.pkg)) })
	next := make(chan binary)
	for range atOnce * runtime.NumCPU() {
		ordinary.Go(func() {
			for b := range next {
				take(b)
			}
		})
	}
	for _, b := range beside {
		next <- b
	}
	close(next)
	ordinary.Wait()
	for _, b := range exclusive {
		take(b)
	}
	apartly.Wait()
	slices.SortFunc(results, func(a, b result) int { return cmp.Compare(a.pkg, b.pkg) })
	return results
}

// rank is the place of a package among those that run beside each other.
func rank(pkg string) int {
	if i := slices.Index(longest, pkg); i >= 0 {
		return i
	}
	return len(longest)
}
