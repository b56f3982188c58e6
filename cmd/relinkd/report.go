package main

import (
	"encoding/json"
	"fmt"
	"io"

	"relinkd/api"
)

// printReport says what a verb did on out, and what the operator must know on errOut.
func (a *app) printReport(r *api.Report) {
	prefix := ""
	if r.Target != "" {
		prefix = r.Target + ": "
	}
	for _, line := range r.Done {
		fmt.Fprintf(a.out, "%s%s\n", prefix, line)
	}
	for _, line := range r.Warnings {
		fmt.Fprintf(a.errOut, "relinkd: warning: %s%s\n", prefix, line)
	}
}

// reported turns a change into what askDaemon and askOrAct take: one that prints its report.
func (a *app) reported(change func(api.Service) (*api.Report, error)) func(api.Service) error {
	return func(svc api.Service) error {
		r, err := change(svc)
		if err != nil {
			return err
		}
		a.printReport(r)
		return nil
	}
}

// printJSON writes a document for programs, indented for people.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
