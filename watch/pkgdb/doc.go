// Package pkgdb reads what dpkg and rpm have written down: which package has a file, where it goes instead,
// and whether they are at work. It must never change a database, or hold a lock of theirs.
package pkgdb

// DefaultAdminDir is where dpkg keeps its database.
const DefaultAdminDir = "/var/lib/dpkg"

// DefaultRPMDirs is where rpm keeps its database: since 4.17 on newer distributions, and before.
func DefaultRPMDirs() []string { return []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm"} }
