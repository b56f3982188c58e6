// Command table compares docs/FAULTS.md with what the tests have recorded (package faults):
//
//	go run ./internal/faults/table [-w] [-log LOG] RECORDS
//
// It fails when a recorded row is missing in the table, or when the table has a row that was not
// recorded, unless LOG, what go test -v has printed, says that the row's test was skipped. With -w
// it puts the rows of the tests in RECORDS into the table instead, in place of those that it had
// of these tests; rows of other tests stay.
package main

import (
	"flag"
	"fmt"
	"os"
)

// file is the table, at the top of the repository.
const file = "docs/FAULTS.md"

func main() {
	write := flag.Bool("w", false, "write the table")
	log := flag.String("log", "", "what go test -v has printed")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: table [-w] [-log LOG] RECORDS")
		os.Exit(2)
	}
	if err := run(*write, *log, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(write bool, log, records string) error {
	content, err := os.ReadFile(records)
	if err != nil {
		return err
	}
	recorded, err := parseRecords(content)
	if err != nil {
		return fmt.Errorf("%s: %w", records, err)
	}
	page, err := os.ReadFile(file)
	if err != nil && !(write && os.IsNotExist(err)) {
		return err
	}
	committed, err := parsePage(page)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if write {
		return os.WriteFile(file, render(merge(committed, recorded)), 0o644)
	}
	var skipped map[string]bool
	if log != "" {
		content, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		skipped = skippedTests(content)
	}
	return check(page, committed, recorded, skipped)
}
