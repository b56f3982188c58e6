package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// job is a line of a crontab, or of a script that one runs, that changes links at path.
type job struct{ File, Line string }

// maxScript is more than any script that an administrator wrote, in bytes.
const maxScript = 256 << 10

// gatherCron looks through the crontabs, and through the scripts that they run.
func (h Host) gatherCron(path string) []job {
	files := []string{filepath.Join(h.Etc, "crontab")}
	for _, dir := range append([]string{"cron.d", "cron.hourly", "cron.daily", "cron.weekly"}, h.Cron...) {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(h.Etc, dir)
		}
		entries, _ := os.ReadDir(dir) // what cannot be listed is said of by Report.Unseen
		for _, e := range entries {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	var jobs []job
	seen := map[string]bool{}
	for i := 0; i < len(files); i++ { // scripts are added as they are met
		if seen[files[i]] {
			continue
		}
		seen[files[i]] = true
		text := script(files[i])
		if line := relinks(text, path); line != "" {
			jobs = append(jobs, job{files[i], line})
		}
		if !strings.HasPrefix(text, "#!") { // a crontab
			files = append(files, scripts(text)...)
		}
	}
	return jobs
}

// script is the text of a small regular file, "" of anything else.
func script(path string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxScript {
		return ""
	}
	text := readLine(path)
	if strings.Contains(text, "\x00") { // a program
		return ""
	}
	return text
}

var absolute = regexp.MustCompile(`/[\w./-]+`)

// scripts are the files that the lines of a crontab name.
func scripts(crontab string) []string {
	var all []string
	for line := range strings.Lines(crontab) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			all = append(all, absolute.FindAllString(line, -1)...)
		}
	}
	return all
}

var links = regexp.MustCompile(`\b(ln|mv|cp|rename|symlink|install)\b`)

// relinks is the line of a script that puts something at path, "" if none does. A script may go to the
// directory first, and name a copy in a variable.
func relinks(text, path string) string {
	dir, name := filepath.Split(path)
	dir = strings.TrimSuffix(dir, "/")
	if !strings.Contains(text, dir) {
		return ""
	}
	named := regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(name) + `($|[^\w.-]|_)`)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "#") && links.MatchString(line) && named.MatchString(line) {
			return line
		}
	}
	return ""
}

func judgeCron(target string, jobs []job) []Finding {
	f := &found{section: Cyrus, target: target}
	for _, j := range jobs {
		f.needs(fmt.Sprintf("%s relinks by hand: %s", j.File, shortened(j.Line)), "relinkd takes path back each time, and every change retires waiting workers",
			"take that line out; relinkd moves the link when it is due")
	}
	return f.all
}

func shortened(line string) string {
	const most = 100
	if r := []rune(line); len(r) > most {
		return string(r[:most]) + " …"
	}
	return line
}
