package doctor

import (
	"fmt"
	"path/filepath"

	"relinkd/pool"
)

// Unsure is why nobody can know, before it is tried, whether others may execute copies of the executable at
// path on host h: what has a say in it, a part of a sentence each. It is empty where the kernel can be asked
// (AT_EXECVE_CHECK, since Linux 6.14), and where nothing but modes and mount options counts.
func Unsure(h Host, path string) []string {
	if pool.ExecveCheck() {
		return nil
	}
	return h.unsure(path)
}

// unsure is Unsure for a kernel that cannot be asked.
func (h Host) unsure(path string) []string {
	s := h.gatherSecurity(path, directoryFacts{Source: path})
	var all []string
	if s.Fapolicyd == "running" && !s.Trusted {
		all = append(all, fmt.Sprintf("fapolicyd runs, and has no rule for %s", filepath.Dir(path)))
	}
	if s.IMA {
		all = append(all, "IMA appraises executables")
	}
	if s.SELinux == "enforcing" {
		all = append(all, "SELinux is enforcing")
	}
	for _, p := range s.Profiles {
		all = append(all, fmt.Sprintf("AppArmor has a profile for it (%s)", p.File))
	}
	return all
}
