package doctor

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// service is an entry of SERVICES in a cyrus.conf that runs some program.
type service struct {
	Name     string
	Command  []string // cmd, in words
	Prefork  int      // 0 by default
	MaxChild int      // -1, the default: no limit
}

// maxConf is more than any cyrus.conf has, in bytes.
const maxConf = 1 << 20

// defaultUses is how many connections a worker serves if cmd has no -U (MAX_USE in master/service.c).
const defaultUses = 250

// uses is how many connections a worker serves before it ends.
func (s service) uses() int {
	for i, word := range s.Command {
		value, glued := strings.CutPrefix(word, "-U")
		if word == "-U" && i+1 < len(s.Command) {
			value, glued = s.Command[i+1], true
		}
		if n, err := strconv.Atoi(value); glued && err == nil {
			return n
		}
	}
	return defaultUses
}

// program is what the service executes: a name in Cyrus's own directory, or an absolute path.
func (s service) program() string {
	if len(s.Command) == 0 {
		return ""
	}
	return s.Command[0]
}

// maxLinks is how many links the kernel follows on a way (path_resolution(7)).
const maxLinks = 40

// runs reports whether the service executes path or its private link, by its own name or by a link that
// leads there, as Cyrus's packages have proxyd lead to imapd.
func (s service) runs(path, privateLink string) bool {
	p := s.program()
	if p == "" {
		return false
	}
	if !strings.Contains(p, "/") {
		p = filepath.Join(filepath.Dir(path), p)
	}
	for range maxLinks {
		if samePlace(p, path) || samePlace(p, privateLink) {
			return true
		}
		text, err := os.Readlink(p)
		if err != nil {
			return false
		}
		if !filepath.IsAbs(text) {
			text = filepath.Join(filepath.Dir(p), text)
		}
		p = text
	}
	return false
}

// samePlace reports whether a and b are one name in one directory, however that is spelled.
func samePlace(a, b string) bool {
	return a == b || filepath.Base(a) == filepath.Base(b) && resolved(filepath.Dir(a)) == resolved(filepath.Dir(b))
}

// parseCyrusConf reads the services of a cyrus.conf as master does (master/masterconf.c): sections in
// braces, a line an entry, its name first, then KEY=VALUE, a value with blanks in double quotes; a
// backslash at the end of a line joins the next one to it.
func parseCyrusConf(r io.Reader) ([]service, error) {
	var all []service
	section, joined := "", ""
	lines := bufio.NewScanner(io.LimitReader(r, maxConf))
	for number := 1; lines.Scan(); number++ {
		line := joined + lines.Text()
		if rest, more := strings.CutSuffix(line, `\`); more {
			joined = rest
			continue
		}
		joined = ""
		line = strings.TrimSpace(line)
		switch {
		case line == "", line[0] == '#':
		case section == "":
			name, opens := strings.CutSuffix(line, "{")
			if !opens {
				return nil, fmt.Errorf("line %d: %q begins no section", number, line)
			}
			section = strings.ToUpper(strings.TrimSpace(name))
		case line[0] == '}':
			section = ""
		case section == "SERVICES":
			s, err := parseService(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %v", number, err)
			}
			all = append(all, s)
		}
	}
	if section != "" && lines.Err() == nil {
		return nil, fmt.Errorf("section %s is not closed", section)
	}
	return all, lines.Err()
}

func parseService(line string) (service, error) {
	s := service{MaxChild: -1}
	var rest string
	s.Name, rest, _ = strings.Cut(line, " ")
	if name, more, tab := strings.Cut(s.Name, "\t"); tab {
		s.Name, rest = name, more+" "+rest
	}
	for rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#'; rest = strings.TrimSpace(rest) {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return s, fmt.Errorf("%q has no value", rest)
		}
		value := ""
		if after = strings.TrimLeft(after, " \t"); strings.HasPrefix(after, `"`) {
			if value, rest, ok = strings.Cut(after[1:], `"`); !ok {
				return s, fmt.Errorf("%q is not closed", after)
			}
		} else if i := strings.IndexAny(after, " \t"); i >= 0 {
			value, rest = after[:i], after[i:]
		} else {
			value, rest = after, ""
		}
		if err := s.set(strings.ToLower(strings.TrimSpace(key)), value); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *service) set(key, value string) (err error) {
	switch key {
	case "cmd":
		s.Command = strings.Fields(value)
	case "prefork":
		s.Prefork, err = strconv.Atoi(value)
	case "maxchild":
		s.MaxChild, err = strconv.Atoi(value)
	}
	if err != nil {
		return fmt.Errorf("%s=%q is no number", key, value)
	}
	return nil
}
