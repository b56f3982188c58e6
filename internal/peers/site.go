package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/internal/standin"
	"relinkd/pool"
)

// target is what the measured executable is called.
const target = "peersd" // pgrep tells processes apart by their names: no other program has this one

// imapdSize is the size of Debian 12's imapd.
const imapdSize = 360_224 // bytes

// site is a directory with an executable, for relinkd or a peer to look after.
type site struct {
	root string
	bin  string // the install directory
	path string // of the executable in it

	// For relinkd alone.
	config, state, socket, log string
	interval                   time.Duration // between two censuses; 0 for what is shipped
}

// newSite makes one with a stand-in of that many bytes, 0 for the smallest.
func newSite(parent, name string, size int) (*site, error) {
	root, err := sub(parent, name)
	if err != nil {
		return nil, err
	}
	bin, err := sub(root, "bin")
	if err != nil {
		return nil, err
	}
	s := &site{
		root:   root,
		bin:    bin,
		path:   filepath.Join(bin, target),
		config: filepath.Join(root, "relinkd.toml"),
		state:  filepath.Join(root, "state"),
		socket: filepath.Join(root, "sock"),
		log:    filepath.Join(root, "log"),
	}
	if standin.ELF("") == nil {
		return nil, notMeasured("there is no stand-in for this machine")
	}
	if err := os.Mkdir(s.state, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a directory: %v", err)
	}
	return s, s.install("0", size)
}

// install puts a version at path as dpkg does: written beside it, synced, renamed.
func (s *site) install(version string, size int) error {
	arrived, err := s.unpack(version, size)
	if err != nil {
		return err
	}
	return rename(arrived, s.path)
}

// unpack is install but for the rename, which makes the version be there. No process may be started
// meanwhile: one that inherits the descriptor keeps the file from being executed.
func (s *site) unpack(version string, size int) (string, error) {
	name := s.path + ".dpkg-new"
	if err := write(name, standin.ELFSize(version, size)); err != nil {
		return "", fmt.Errorf("cannot write a new version: %v", err)
	}
	return name, nil
}

// write makes an executable file and syncs it.
func write(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chmod(0o755); err != nil { // whatever the umask
		return err
	}
	return f.Sync()
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("cannot install a new version: %v", err)
	}
	return nil
}

// makeCopies makes the copies by hand, as the administrator of a peer does.
func (s *site) makeCopies() error {
	content, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("cannot copy: %v", err)
	}
	for n := 1; n <= copies; n++ {
		if err := os.WriteFile(s.copy(n), content, 0o755); err != nil {
			return fmt.Errorf("cannot copy: %v", err)
		}
		if err := os.Chmod(s.copy(n), 0o755); err != nil { // whatever the umask
			return fmt.Errorf("cannot copy: %v", err)
		}
	}
	return nil
}

// copy is the path of copy number n.
func (s *site) copy(n int) string { return filepath.Join(s.bin, pool.CopyName(target, n)) }

// configure writes relinkd's configuration: what is shipped, but for these settings of the target and
// this level of its log.
func (s *site) configure(level string, settings map[string]any) error {
	table := map[string]any{"path": s.path, "copies": copies, "max_copies": copies}
	for key, value := range settings {
		table[key] = value
	}
	all := map[string]any{
		"target":  map[string]any{target: table},
		"control": map[string]any{"socket": s.socket},
		"log":     map[string]any{"format": "json", "level": level},
		"state":   map[string]any{"dir": s.state},
	}
	if s.interval > 0 {
		all["census"] = map[string]any{"interval": s.interval.String()}
	}
	text, err := toml.Marshal(all)
	if err == nil {
		err = os.WriteFile(s.config, text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write relinkd's configuration: %v", err)
	}
	return nil
}

// leads reports whether path is a link that leads to a copy of that version: stand-ins end in it.
func (s *site) leads(version string) bool {
	if text, err := os.Readlink(s.path); err != nil || text == "" {
		return false
	}
	return ends(s.path, version)
}

// ends reports whether the file's last bytes are text.
func ends(path, text string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < int64(len(text)) {
		return false
	}
	tail := make([]byte, len(text))
	_, err = f.ReadAt(tail, info.Size()-int64(len(text)))
	return err == nil && string(tail) == text
}

// allCopies fails unless each copy is of that version.
func (s *site) allCopies(version string) error {
	var old []string
	for n := 1; n <= copies; n++ {
		if !ends(s.copy(n), version) {
			old = append(old, filepath.Base(s.copy(n)))
		}
	}
	if len(old) > 0 {
		return fmt.Errorf("after the upgrade these are not of the new version: %s", strings.Join(old, ", "))
	}
	return nil
}

// identities is those of the copies.
func (s *site) identities() ([]fsys.ID, error) {
	var ids []fsys.ID
	for n := 1; n <= copies; n++ {
		id, err := identify(s.copy(n))
		if err != nil {
			return nil, fmt.Errorf("cannot look at a copy: %v", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// identify follows links.
func identify(path string) (fsys.ID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fsys.ID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fsys.InfoOf(&st).ID, nil
}
