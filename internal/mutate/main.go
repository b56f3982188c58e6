// Command mutate breaks each of relinkd's invariants on purpose, one at a time, and lists those of which no test
// goes red: the survivors. Nothing in the source tree is changed.
//
//	go run ./internal/mutate [-run REGEXP] [-list]
//
// It takes minutes, and exits with 1 when something survives. Run it before and after tests are made fewer or
// simpler.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

func main() {
	run := flag.String("run", "", "only the mutations whose names match this `regexp`")
	list := flag.Bool("list", false, "list the mutations, and try none")
	flag.Parse()
	survivors, err := mutate(*run, *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

// mutate tries the mutations whose names match, and returns how many survive.
func mutate(match string, list bool) (survivors int, err error) {
	wanted, err := regexp.Compile(match)
	if err != nil {
		return 0, err
	}
	all, err := mutations()
	if err != nil {
		return 0, err
	}
	tried := 0
	for _, m := range all {
		if !wanted.MatchString(m.name) {
			continue
		}
		if list {
			fmt.Println(m.name)
			continue
		}
		begun := time.Now()
		verdict, err := m.try()
		if err != nil {
			return survivors, fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Printf("%-8s %5.1fs  %s\n", verdict, time.Since(begun).Seconds(), m.name)
		if tried++; verdict == survived {
			survivors++
		}
	}
	if !list {
		fmt.Printf("%d tried, %d survive\n", tried, survivors)
	}
	return survivors, nil
}
