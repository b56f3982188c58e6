package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Unit is the systemd unit that the packages bring.
const Unit = "relinkd.service"

// DropIn is where a drop-in called name goes for unit, and what has it take effect.
func DropIn(unit, name string) (file, then string) {
	return filepath.Join("/etc/systemd/system", unit+".d", name),
		"systemctl daemon-reload && systemctl restart " + strings.TrimSuffix(unit, ".service")
}

// DropInPaths is the name of the drop-in that lets the daemon write to further directories.
const DropInPaths = "paths.conf"

// OpenDir says how to have the sandbox of unit let the daemon write to dir.
func OpenDir(unit, dir string) string {
	file, then := DropIn(unit, DropInPaths)
	return fmt.Sprintf("put the lines [Service] and ReadWritePaths=-%s into %s, then: %s", dir, file, then)
}
