package pool

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"relinkd/fsys"
)

// manifestVersion is the format that Save writes and LoadManifest understands.
const manifestVersion = 1

// Manifest is what relinkd remembers of a target between two runs. It saves hashing and tells our
// files from others'; it may be deleted at any time.
type Manifest struct {
	Version  int               `json:"version"`
	Path     string            `json:"path"`             // of the target
	SHA256   string            `json:"sha256"`           // the generation
	Size     int64             `json:"size"`             // of the source, bytes
	Since    time.Time         `json:"since"`            // when the generation was published
	Pristine fsys.Info         `json:"pristine"`         // the file of which SHA256 is the hash
	Link     fsys.ID           `json:"link"`             // what relinkd last put at Path
	Copies   map[int]fsys.Info `json:"copies"`           // by number
	Staged   map[int]fsys.Info `json:"staged,omitempty"` // of the next generation, while it is committed
	Packaged bool              `json:"packaged"`         // a package manager's database names Path
	Stale    []fsys.ID         `json:"stale,omitempty"`  // replaced executables that processes may still run
}

// made reports whether the manifest names the file as one that relinkd made as copy n, and what
// it was then.
func (m *Manifest) made(n int, id fsys.ID) (fsys.Info, bool) {
	for _, infos := range []map[int]fsys.Info{m.Copies, m.Staged} {
		if info, there := infos[n]; there && info.ID == id {
			return info, true
		}
	}
	return fsys.Info{}, false
}

func manifestName(target string) string { return target + ".json" }

// Save writes the manifest of target into dir in one step: whoever reads it finds the former one or
// this one. It does not wait for the disk, for the deciding loop calls it: a power cut may cost the
// manifest, and that costs the next start some reading.
func (m *Manifest) Save(dir *fsys.Dir, target string) error {
	current := *m
	current.Version = manifestVersion
	data, err := json.Marshal(&current)
	if err != nil {
		return err
	}
	if err := writeManifest(dir, manifestName(target), append(data, '\n')); err != nil {
		return fmt.Errorf("cannot save the manifest of %s: %w", target, err)
	}
	return nil
}

func writeManifest(dir *fsys.Dir, name string, data []byte) (err error) {
	newName := name + newSuffix
	f, err := dir.Create("manifest: create", newName, 0o600)
	if fsys.Exist(err) {
		if err := dir.Unlink("manifest: remove left-over", newName); err != nil {
			return err
		}
		f, err = dir.Create("manifest: create", newName, 0o600)
	}
	if err != nil {
		return err
	}
	err = writeAndClose(dir, f, data)
	if err == nil {
		err = dir.Replace("manifest: replace", newName, dir, name)
	}
	if err != nil {
		// The error in hand is the one to report; the next Save removes a left-over.
		_ = dir.Unlink("manifest: remove", newName)
		return err
	}
	return nil
}

func writeAndClose(dir *fsys.Dir, f *os.File, data []byte) error {
	defer f.Close()
	return dir.File("manifest: write", f, func(int) error {
		_, err := f.WriteAt(data, 0)
		return err
	})
}

// LoadManifest reads the manifest of target from dir. It always returns one: an empty one when
// there is none or, with an error that is for the log alone, when it cannot be used.
func LoadManifest(dir *fsys.Dir, target string) (*Manifest, error) {
	m, err := readManifest(dir, manifestName(target))
	if fsys.NotExist(err) {
		return &Manifest{}, nil
	}
	if err != nil {
		return &Manifest{}, fmt.Errorf("the manifest of %s cannot be used, so every copy is read again: %w", target, err)
	}
	return m, nil
}

func readManifest(dir *fsys.Dir, name string) (*Manifest, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := fsys.Fstat(f)
	if err != nil {
		return nil, err
	}
	// What it says is taken for our own word on which files may be replaced.
	if !info.IsRegular() || !info.Ours() || info.Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s was not written by relinkd", f.Name())
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s has version %d, this relinkd knows %d", f.Name(), m.Version, manifestVersion)
	}
	return &m, nil
}
