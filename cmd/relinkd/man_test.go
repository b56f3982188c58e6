package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"relinkd/config"
)

// shown is a page as man shows it, without the bold type and in one line: words are apart by one space.
func shown(t *testing.T, file string) string {
	t.Helper()
	if _, err := exec.LookPath("man"); err != nil {
		t.Skip("left out: there is no man here to show the pages")
	}
	cmd := exec.Command("man", "-E", "UTF-8", "-l", file)
	cmd.Env = append(cmd.Environ(), "MANWIDTH=500", "LC_ALL=C.UTF-8", "GROFF_NO_SGR=1", "MAN_KEEP_FORMATTING=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

func TestManNamesAll(t *testing.T) {
	dir := t.TempDir()
	root := new(app).rootCmd()
	if err := writePages(root, dir); err != nil {
		t.Fatal(err)
	}
	page := shown(t, filepath.Join(dir, "relinkd.8"))
	names := func(what, text string) {
		t.Helper()
		if !strings.Contains(page, text) {
			t.Errorf("the page does not tell %s: %q", what, text)
		}
	}
	flags := func(set *pflag.FlagSet) {
		set.VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			names("the flag --"+f.Name, strings.TrimSpace("--"+f.Name+" "+value)+" "+strings.ToUpper(usage[:1])+usage[1:])
		})
	}
	flags(root.PersistentFlags())
	for _, cmd := range root.Commands() {
		names("the verb "+cmd.Name(), cmd.Use+" ")
		flags(cmd.LocalNonPersistentFlags())
		for example := range strings.Lines(cmd.Example) {
			names("an example of "+cmd.Name(), strings.TrimSpace(example))
		}
		if cmd.GroupID == "" {
			t.Errorf("%s belongs to no group", cmd.Name())
		}
	}
	for _, e := range exits() {
		names("an exit code", fmt.Sprintf(" %d %s%s.", e.Code, strings.ToUpper(e.Meaning[:1]), e.Meaning[1:]))
	}
}

func TestManNamesAllKeys(t *testing.T) {
	dir := t.TempDir()
	if err := writePages(new(app).rootCmd(), dir); err != nil {
		t.Fatal(err)
	}
	page := shown(t, filepath.Join(dir, "relinkd.toml.5"))
	for _, k := range config.Keys() {
		fact := strings.ToUpper(k.Allowed[:1]) + k.Allowed[1:] + ". Default: " + k.Default + "."
		if k.Restart {
			fact += " Needs a restart."
		}
		if !strings.Contains(page, fact) {
			t.Errorf("the page does not tell of %s: %q", k.Name, fact)
		}
	}
}

// The pages give nobody a reason to complain, at any width.
func TestManPagesAreClean(t *testing.T) {
	dir := t.TempDir()
	if err := writePages(new(app).rootCmd(), dir); err != nil {
		t.Fatal(err)
	}
	for _, p := range manPages() {
		file := filepath.Join(dir, p[1])
		for _, check := range [][]string{
			{"man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", file},
			{"mandoc", "-T", "lint", file},
		} {
			t.Run(check[0]+" "+p[1], func(t *testing.T) {
				if _, err := exec.LookPath(check[0]); err != nil {
					t.Skipf("left out: there is no %s here", check[0])
				}
				cmd := exec.Command(check[0], check[1:]...)
				cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80")
				var out, problems bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &problems
				err := cmd.Run()
				said := problems.String()
				if check[0] == "mandoc" {
					said += out.String()
					err = nil // it ends with what it has found
				}
				for line := range strings.Lines(said) {
					// A date would be that of the build, or a lie.
					if !strings.Contains(line, `missing date, using "": TH`) {
						t.Error(line)
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// What a shell is offered for a verb's arguments is known for each word that a verb's Use has.
func TestUseIsUnderstood(t *testing.T) {
	for _, cmd := range new(app).rootCmd().Commands() {
		for _, word := range strings.Fields(cmd.Use)[1:] {
			word = strings.Trim(word, "[]")
			switch {
			case word == "TARGET", word == "TARGET|--all", word == "FILE", word == "FILE|--generation", word == "HASH", word == "VERB":
			case strings.ToUpper(word) == word:
				t.Errorf("%s: nobody knows what to offer for %s", cmd.Use, word)
			}
		}
	}
}

// The pages for people call verbs and flags that there are.
func TestPagesNameVerbs(t *testing.T) {
	for _, file := range []string{"docs/TUNING.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		calls := regexp.MustCompile("(?m)(?:`|^\\$ |&& )relinkd ([a-z-]+)((?: --[a-z]+)*)").FindAllStringSubmatch(string(text), -1)
		if len(calls) == 0 && file == "docs/TUNING.md" {
			t.Errorf("%s calls nothing: this test looks for the wrong things", file)
		}
		for _, call := range calls {
			cmd, _, err := new(app).rootCmd().Find([]string{call[1]})
			if err != nil {
				t.Errorf("%s: there is no verb %q", file, call[1])
				continue
			}
			for flag := range strings.FieldsSeq(call[2]) {
				if name := strings.TrimPrefix(flag, "--"); cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: %s has no flag %s", file, call[1], flag)
				}
			}
		}
	}
}
