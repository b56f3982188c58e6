// Package packaging holds what the packages of relinkd consist of beside the program. Of that, the program
// itself needs the example configuration alone. The package must never hold code that does something.
package packaging

import _ "embed"

//go:embed relinkd.toml
var configuration string

// Configuration is the example configuration, with every key at its default and a comment above it.
func Configuration() string { return configuration }
