package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/journal"
	"relinkd/internal/manual"
	"relinkd/packaging"
)

// manPages is the names of the manual pages, each with its file, the first one being the default.
func manPages() [][2]string {
	return [][2]string{{"relinkd", "relinkd.8"}, {"relinkd.toml", "relinkd.toml.5"}}
}

func (a *app) manCmd() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [relinkd|relinkd.toml]",
		Short: "Print a manual page, or write both",
		Long: `man prints the manual page of relinkd or that of its configuration, relinkd.toml, as
a source for man(1). It is for a relinkd that no package has installed.`,
		Example: "  relinkd man | man -l -\n  relinkd man relinkd.toml | man -l -\n  relinkd man --dir /tmp",
		Args:    takes("[PAGE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("dir") {
				if len(args) > 0 {
					return usagef(cmd, "%q and --dir: it writes all pages", args[0])
				}
				return writePages(cmd.Root(), dir)
			}
			name := manPages()[0][0]
			if len(args) > 0 {
				name = args[0]
			}
			for _, p := range manPages() {
				if name == p[0] || name == p[1] {
					return printPage(a.out, cmd.Root(), p[0])
				}
			}
			return usagef(cmd, "there is no page %q", name)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write both pages to files in `DIR`, relinkd.8 and relinkd.toml.5")
	return cmd
}

func writePages(root *cobra.Command, dir string) error {
	for _, p := range manPages() {
		f, err := os.Create(filepath.Join(dir, p[1]))
		if err != nil {
			return fmt.Errorf("cannot write the page %s: %v", p[1], err)
		}
		err = printPage(f, root, p[0])
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("cannot write the page %s: %v", p[1], err)
		}
	}
	return nil
}

// journalFields is what is to be said of the journal.
func journalFields() manual.Journal {
	j := manual.Journal{Fields: journal.Fields()}
	for _, kind := range api.EventKinds() {
		j.Messages = append(j.Messages, [2]string{journal.MessageID(kind), string(kind)})
	}
	return j
}

func printPage(w io.Writer, root *cobra.Command, name string) error {
	page := ""
	var err error
	switch name {
	case "relinkd":
		page = manual.Program(root, exits(), journalFields())
	case "relinkd.toml":
		page, err = manual.Configuration(config.Keys(), packaging.Configuration())
	}
	if err == nil {
		_, err = io.WriteString(w, page)
	}
	return err
}
