package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"

	"relinkd/internal/standin"
)

// maxSocketPath is what fits in sockaddr_un with its final zero.
const maxSocketPath = 107

// scratch is the directory in which everything happens.
type scratch struct {
	root   string
	bin    string // the install directory
	path   string // of the service, in bin
	config string // relinkd's configuration file
	state  string // relinkd's state directory
	socket string
	log    string // what relinkd says
}

// newScratch makes the directory below the one for temporary files, with the first version of the
// service installed, and makes sure that it executes there.
func newScratch() (*scratch, error) {
	root, err := os.MkdirTemp("", "relinkd-demo-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a scratch directory: %v; set TMPDIR to a directory that can be written", err)
	}
	s := &scratch{
		root:   root,
		bin:    filepath.Join(root, "bin"),
		path:   filepath.Join(root, "bin", target),
		config: filepath.Join(root, "relinkd.toml"),
		state:  filepath.Join(root, "state"),
		socket: filepath.Join(root, "relinkd.sock"),
		log:    filepath.Join(root, "relinkd.log"),
	}
	if err := s.fill(); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// fill makes what is in the directory at the beginning.
func (s *scratch) fill() error {
	if len(s.socket) > maxSocketPath {
		return fmt.Errorf("cannot put a socket at %s: the path is longer than %d bytes; set TMPDIR to a shorter one", s.socket, maxSocketPath)
	}
	if err := os.Chmod(s.root, 0o755); err != nil { // where root alone can pass, no service could execute anything
		return fmt.Errorf("cannot make a directory for the demonstration: %v", err)
	}
	for _, dir := range []string{s.bin, s.state} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("cannot make a directory for the demonstration: %v", err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask is
			return fmt.Errorf("cannot set the mode of a directory for the demonstration: %v", err)
		}
	}
	if err := standin.Write(s.path, "1"); err != nil {
		return err
	}
	if err := exec.Command(s.path).Run(); err != nil { // its input is /dev/null: it ends at once
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("cannot execute %s: %v; set TMPDIR to a directory on a file system that is not mounted noexec", s.path, err)
		}
		return fmt.Errorf("cannot execute %s: %v", s.path, err)
	}
	config, err := toml.Marshal(s.settings())
	if err != nil {
		return fmt.Errorf("cannot make the configuration for the demonstration: %v", err)
	}
	if err := os.WriteFile(s.config, config, 0o644); err != nil {
		return fmt.Errorf("cannot write the configuration for the demonstration: %v", err)
	}
	return nil
}

// settings is relinkd's configuration. A census cannot promise more than its interval allows: a
// threshold as low as 30 asks for a lower mark and a more frequent census than a server's, so that
// a busy host, on which the census is late, starts no more processes meanwhile than are left.
func (s *scratch) settings() map[string]any {
	return map[string]any{
		"target": map[string]any{target: map[string]any{
			"path":       s.path,
			"copies":     copies,
			"max_copies": maxCopies,
			"threshold":  threshold,
			"rotate_at":  0.7,
			"settle":     map[string]any{"quiet": "100ms", "max": "2s"},
		}},
		"census":  map[string]any{"interval": "20ms"},
		"control": map[string]any{"socket": s.socket},
		"log":     map[string]any{"format": "json"},
		"state":   map[string]any{"dir": s.state},
	}
}

// remove takes the directory away. Processes that run its files may still be there.
func (s *scratch) remove() error {
	if err := os.RemoveAll(s.root); err != nil {
		return fmt.Errorf("cannot remove the scratch directory: %v; remove it by hand", err)
	}
	return nil
}
