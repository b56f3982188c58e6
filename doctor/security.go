package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// securityFacts is which security modules have a say, and what they know of the executable.
type securityFacts struct {
	Path       string
	Launcher   bool // what stands at path executes a copy, and is none itself
	Copies     int
	SELinux    string   // "", "permissive", "enforcing"
	Label      string   // of the packaged file
	Mislabeled []string // copies with another label
	Fapolicyd  string   // "", "installed", "running"
	Trusted    bool     // a rule of fapolicyd's names the install directory
	IMA        bool     // executables are appraised
	Signed     bool     // the packaged file has security.ima
	AppArmor   bool
	Profiles   []profile
}

// profile is a profile of AppArmor that is for path.
type profile struct {
	File, Attachment string
	Copies           bool // it is for the copies too
}

func (h Host) gatherSecurity(path string, d directoryFacts) securityFacts {
	s := securityFacts{Path: path, Launcher: d.Publish == "launcher", Copies: len(d.Copies)}
	switch readLine(filepath.Join(h.Sys, "fs/selinux/enforce")) {
	case "1":
		s.SELinux = "enforcing"
	case "0":
		s.SELinux = "permissive"
	}
	s.Label = attribute(d.Source, "security.selinux")
	for _, c := range d.Copies {
		if attribute(c, "security.selinux") != s.Label {
			s.Mislabeled = append(s.Mislabeled, filepath.Base(c))
		}
	}
	s.Fapolicyd, s.Trusted = h.fapolicyd(filepath.Dir(path))
	s.IMA = h.appraises()
	s.Signed = attribute(d.Source, "security.ima") != ""
	s.AppArmor = readLine(filepath.Join(h.Sys, "module/apparmor/parameters/enabled")) == "Y"
	if s.AppArmor {
		s.Profiles = h.profiles(path)
	}
	return s
}

// attribute is an extended attribute of what path leads to, "" when it has none.
func attribute(path, name string) string {
	var buf [1024]byte
	n, err := unix.Getxattr(path, name, buf[:])
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(buf[:n]), "\x00")
}

// fapolicyd tells how far it is here, and whether one of its rules names dir.
func (h Host) fapolicyd(dir string) (state string, trusted bool) {
	if _, err := os.Stat(filepath.Join(h.Etc, "fapolicyd")); errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	state = "installed"
	for _, pid := range h.processes() {
		if readLine(h.process(pid, "comm")) == "fapolicyd" {
			state = "running"
		}
	}
	rules, _ := filepath.Glob(filepath.Join(h.Etc, "fapolicyd/rules.d/*.rules")) // the pattern is well-formed
	for _, file := range append(rules, filepath.Join(h.Etc, "fapolicyd/fapolicyd.rules")) {
		for line := range strings.Lines(readLine(file)) {
			allows := strings.HasPrefix(strings.TrimSpace(line), "allow")
			trusted = trusted || allows && strings.Contains(line, "dir="+dir)
		}
	}
	return state, trusted
}

// appraises reports whether IMA refuses executables without a valid hash or signature.
func (h Host) appraises() bool {
	cmdline := readLine(filepath.Join(h.Proc, "cmdline"))
	for word := range strings.FieldsSeq(cmdline) {
		if name, value, _ := strings.Cut(word, "="); name == "ima_policy" && strings.Contains(value, "appraise") {
			return true
		}
	}
	for line := range strings.Lines(readLine(filepath.Join(h.Sys, "kernel/security/ima/policy"))) {
		if strings.HasPrefix(line, "appraise ") && strings.Contains(line, "BPRM_CHECK") {
			return true
		}
	}
	return false
}

// profileStart is the line at which a profile begins: "profile NAME ATTACHMENT", or either of both.
var profileStart = regexp.MustCompile(`(?m)^\s*(?:profile\s+)?(?:[\w.-]+\s+)?"?(/[^\s"]+)"?\s*(?:flags=\([^)]*\)\s*|xattrs=\([^)]*\)\s*)*\{`)

// profiles finds the profiles that are for path.
func (h Host) profiles(path string) []profile {
	files, _ := filepath.Glob(filepath.Join(h.Etc, "apparmor.d/*")) // the pattern is well-formed
	var all []profile
	for _, file := range files {
		for _, m := range profileStart.FindAllStringSubmatch(readLine(file), -1) {
			if globbed(m[1], path) {
				all = append(all, profile{file, m[1], globbed(m[1], path+"_001") && globbed(m[1], path+"_999")})
			}
		}
	}
	return all
}

// globbed reports whether a pattern of AppArmor's matches path.
func globbed(pattern, path string) bool {
	var b strings.Builder
	braces := 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(".*")
			i++
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '[' || c == ']':
			b.WriteByte(c)
		case c == '{':
			b.WriteString("(?:")
			braces++
		case c == '}' && braces > 0:
			b.WriteByte(')')
			braces--
		case c == ',' && braces > 0:
			b.WriteByte('|')
		case c == '-':
			b.WriteByte(c) // a range of [ ]
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	re, err := regexp.Compile("^" + b.String() + "$")
	return err == nil && re.MatchString(path)
}

func (s securityFacts) judge(target string) []Finding {
	f := &found{section: Security, target: target}
	s.judgeSELinux(f)
	s.judgeFapolicyd(f)
	if s.IMA {
		s.judgeIMA(f)
	}
	for _, p := range s.Profiles {
		s.judgeProfile(f, p)
	}
	if s.AppArmor && len(s.Profiles) == 0 {
		f.fine("AppArmor has no profile for "+s.Path, "a profile is bound to path, and copies have other names")
	}
	if len(f.all) == 0 {
		f.fine("no SELinux, AppArmor, fapolicyd or IMA appraisal is in force", "they may refuse or confine a copy otherwise than its source")
	}
	return f.all
}

func (s securityFacts) judgeSELinux(f *found) {
	const why = "the label decides in which domain a process runs; copies are given that of their source"
	switch {
	case s.SELinux == "":
	case len(s.Mislabeled) > 0:
		f.needs(fmt.Sprintf("SELinux is %s, and %s not the label %s: %s", s.SELinux,
			counted(len(s.Mislabeled), "copy has", "copies have"), s.Label, some(s.Mislabeled)), why,
			fmt.Sprintf("relinkd verify %s; then semanage fcontext -a -t TYPE '%s(_[0-9]{3})?', so that restorecon keeps it", f.target, s.Path))
	case s.Copies > 0:
		f.fine(fmt.Sprintf("SELinux is %s, and all copies have the label %s", s.SELinux, s.Label), why)
	default:
		f.fine(fmt.Sprintf("SELinux is %s; copies get the label %s", s.SELinux, s.Label), why)
	}
	if s.SELinux != "" && s.Launcher {
		f.note("SELinux: the launcher executes a copy from within the domain of "+s.Label, "the policy must let that domain execute such a file without a further transition (execute_no_trans)",
			"after relinkd manage: ausearch -m avc -ts recent; where it is refused, publish = \"symlink\"")
	}
}

func (s securityFacts) judgeFapolicyd(f *found) {
	dir := filepath.Dir(s.Path)
	const why = "fapolicyd trusts files by path and hash, which copies are not known by, and refuses to execute others"
	do := fmt.Sprintf("put `allow perm=any all : dir=%s/` into a file of /etc/fapolicyd/rules.d that sorts before the deny rules; then: fagenrules --load", dir)
	switch {
	case s.Fapolicyd == "":
	case s.Trusted:
		f.fine("fapolicyd has a rule that allows "+dir, why)
	case s.Fapolicyd == "running":
		f.needs("fapolicyd runs, and has no rule for "+dir, why, do)
	default:
		f.note("fapolicyd is installed, and does not run", why, "before you start it: "+do)
	}
}

func (s securityFacts) judgeIMA(f *found) {
	const why = "IMA refuses to execute what has no valid security.ima"
	if s.Signed {
		f.fine("IMA appraises executables; copies have the security.ima of their source", why)
		return
	}
	f.needs("IMA appraises executables, and "+s.Path+" has no security.ima to be copied", why,
		"sign it (evmctl ima_sign), or leave its directory out of the policy")
}

func (s securityFacts) judgeProfile(f *found, p profile) {
	const why = "AppArmor confines a process by the name of what it executes, which is that of a copy"
	if s.Launcher {
		f.needs(fmt.Sprintf("AppArmor's profile in %s holds for the launcher, which executes a copy", p.File),
			"what the profile does not let it execute does not start",
			fmt.Sprintf("put the line `%s_[0-9][0-9][0-9] rix,` into it, then: apparmor_parser -r %s", s.Path, p.File))
		return
	}
	if p.Copies {
		f.fine("AppArmor's profile in "+p.File+" is for the copies too", why)
		return
	}
	f.needs(fmt.Sprintf("AppArmor's profile in %s is for %s alone: processes of copies would not be confined", p.File, p.Attachment), why,
		fmt.Sprintf("let it begin with %s{,_[0-9][0-9][0-9]}, then: apparmor_parser -r %s", s.Path, p.File))
}

// some is a list, cut short.
func some(names []string) string {
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", len(names)-few)
	}
	return strings.Join(names, ", ")
}
