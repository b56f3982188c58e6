// Package manual makes relinkd's manual pages of what the program itself goes by: the commands, the exit
// codes, the keys of the configuration and the comments of the shipped one. The prose around them is in
// relinkd.8.txt and relinkd.toml.5.txt. It must never tell of the host it runs on.
package manual

import (
	"embed"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:embed *.txt
var prose embed.FS

// Exit is a code that the program ends with.
type Exit struct {
	Code    int
	Meaning string
}

// Journal is what the daemon writes to the systemd journal beside its messages.
type Journal struct {
	Fields   [][2]string // name and what it holds
	Messages [][2]string // MESSAGE_ID and the kind of events that has it
}

// Program is relinkd(8): all verbs of root in the order of its groups, with their flags and examples.
func Program(root *cobra.Command, exits []Exit, journal Journal) string {
	p := newPage("relinkd", "8")
	p.text(read("relinkd.8.txt"), map[string]func(){
		"verbs": func() {
			for _, g := range root.Groups() {
				for _, cmd := range root.Commands() {
					if cmd.GroupID == g.ID {
						p.verb(cmd)
					}
				}
			}
		},
		"fields": func() {
			for _, f := range journal.Fields {
				p.define("`" + f[0] + "`")
				p.lines([]string{sentence(f[1])})
			}
		},
		"messages": func() {
			for _, m := range journal.Messages {
				p.define("`" + m[1] + "`")
				p.lines([]string{"`MESSAGE_ID=" + m[0] + "`"})
			}
		},
		"options": func() { p.flags(root.PersistentFlags()) },
		"exits": func() {
			for _, e := range exits {
				p.define(fmt.Sprintf("`%d`", e.Code))
				p.lines([]string{sentence(e.Meaning)})
			}
		},
	})
	return p.b.String()
}

func (p *page) verb(cmd *cobra.Command) {
	p.line(".SS " + quoted(cmd.Use))
	if about, ok := strings.CutPrefix(cmd.Long, cmd.Name()+" "); ok {
		p.text("`"+cmd.Name()+"` "+about, nil)
	} else {
		p.text(sentence(cmd.Short), nil)
	}
	p.flags(cmd.LocalNonPersistentFlags())
	if cmd.Example != "" {
		p.line(".PP\nFor example:")
		p.text(cmd.Example, nil)
	}
}

func (p *page) flags(set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		term := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			term = "`-" + f.Shorthand + "`, " + term
		}
		if value != "" {
			term += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			usage += " (by default " + f.DefValue + ")"
		}
		p.define(term)
		p.lines([]string{sentence(usage)})
	})
}

func sentence(words string) string { return strings.ToUpper(words[:1]) + words[1:] + "." }

func read(name string) string {
	text, err := prose.ReadFile(name)
	if err != nil {
		panic(err) // it is part of this program
	}
	return string(text)
}
