package doctor

import (
	"path/filepath"
	"slices"
	"strings"

	"relinkd/config"
)

// DropIn is a drop-in for relinkd's unit that lets the daemon write to those of dirs that the unit and its
// drop-ins do not open; "" when they open them all, and without such a unit.
func (h Host) DropIn(dirs ...string) string {
	strict, allowed := h.readUnit(config.Unit)
	if !strict {
		return ""
	}
	allowed = append(slices.Clone(allowed), managedByUnit...)
	text := ""
	for _, dir := range dirs {
		opens := func(open string) bool { return holds(resolved(open), resolved(dir)) }
		line := "ReadWritePaths=-" + dir + "\n"
		if !slices.ContainsFunc(allowed, opens) && !strings.Contains(text, line) {
			text += line
		}
	}
	if text == "" {
		return ""
	}
	return "[Service]\n" + text
}

// managedByUnit are the directories that systemd makes for the unit, by StateDirectory and RuntimeDirectory.
var managedByUnit = []string{config.DefaultStateDir, filepath.Dir(config.DefaultSocket)}

// resolved is path without symbolic links, as far as it exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}
