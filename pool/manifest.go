package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
)

// manifestVersion is the format that Save writes and LoadManifest understands.
const manifestVersion = 1

// Manifest is what relinkd remembers of a target between two runs. It saves hashing and tells our
// files from others'; it may be deleted at any time.
type Manifest struct {
	Version  int               `json:"version"`
	Path     string            `json:"path"`              // of the target
	Publish  string            `json:"publish,omitempty"` // the way in which Path leads to the copies
	Device   uint64            `json:"device"`            // of the install directory's file system, which the machine may number anew
	SHA256   string            `json:"sha256"`            // the generation
	Size     int64             `json:"size"`              // of the source, bytes
	Since    time.Time         `json:"since"`             // when the generation was published
	Pristine fsys.Info         `json:"pristine"`          // the file of which SHA256 is the hash
	Previous fsys.ID           `json:"previous,omitzero"` // the pristine before it, which an upgrade that is taken back brings again
	Link     fsys.ID           `json:"link"`              // what relinkd last put at Path
	Backup   fsys.Info         `json:"backup,omitzero"`   // dpkg's backup of what stood at Path, by which it may take the upgrade back
	Wanted   int               `json:"wanted,omitempty"`  // how many copies the configuration asked for
	Copies   map[int]fsys.Info `json:"copies"`            // by number
	Staged   map[int]fsys.Info `json:"staged,omitempty"`  // of the next generation, while it is committed
	Packaged bool              `json:"packaged"`          // a package manager's database names Path
	Stale    []fsys.ID         `json:"stale,omitempty"`   // replaced executables that processes may still run
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
func syncedName(target string) string   { return target + ".json.synced" }

// Renumber makes m tell of the same files when the install directory's file system, on which they
// are, has the number device now. A file system is numbered when it is mounted: btrfs, a loop device
// or a disk that is found later than another get another number when the machine starts again.
func (m *Manifest) Renumber(device uint64) {
	before := m.Device
	if before == 0 || device == 0 || before == device {
		return
	}
	renumber := func(id *fsys.ID) {
		if id.Dev == before {
			id.Dev = device
		}
	}
	renumber(&m.Pristine.ID)
	renumber(&m.Previous)
	renumber(&m.Link)
	renumber(&m.Backup.ID)
	for _, infos := range []map[int]fsys.Info{m.Copies, m.Staged} {
		for n, info := range infos {
			renumber(&info.ID)
			infos[n] = info
		}
	}
	for i := range m.Stale {
		renumber(&m.Stale[i])
	}
	m.Device = device
}

// Save writes the manifest of target into dir in one step: whoever reads it finds the former one or
// this one. It does not wait for the disk, for the deciding loop calls it: after a power cut LoadManifest
// finds what SyncManifest has kept.
func (m *Manifest) Save(dir *fsys.Dir, target string) error {
	current := *m
	current.Version = manifestVersion
	data, err := json.Marshal(&current)
	if err != nil {
		return err
	}
	if err := writeManifest(dir, manifestName(target), append(data, '\n'), false); err != nil {
		return fmt.Errorf("cannot save the manifest of %s: %w", target, err)
	}
	return nil
}

// SyncManifest keeps what Save has written once more, durably: Load falls back on that. It may wait for
// the disk for long, and may run beside Save, but not beside itself.
func SyncManifest(dir *fsys.Dir, target string) error {
	data, err := readFile(dir, manifestName(target))
	if errors.Is(err, errForeign) {
		err = &fsys.Error{Op: "open", Path: dir.Join(manifestName(target)), Err: unix.ENOENT} // as good as none
	}
	if err == nil {
		err = writeManifest(dir, syncedName(target), data, true)
	}
	if err == nil {
		err = dir.Sync("manifest: sync names")
	}
	if err != nil {
		return fmt.Errorf("cannot save the manifest of %s: %w", target, err)
	}
	return nil
}

// ForgetManifest removes all that Save and SyncManifest have written.
func ForgetManifest(dir *fsys.Dir, target string) error {
	for _, name := range []string{manifestName(target), syncedName(target)} {
		if err := dir.Unlink("manifest: forget", name); err != nil && !fsys.NotExist(err) {
			return err
		}
	}
	return nil
}

// TidyManifest removes what a crash in Save or SyncManifest has left half written. Neither may be under way.
func TidyManifest(dir *fsys.Dir, target string) error {
	for _, name := range []string{manifestName(target), syncedName(target)} {
		if err := dir.Unlink("manifest: remove left-over", name+newSuffix); err != nil && !fsys.NotExist(err) {
			return err
		}
	}
	return nil
}

func writeManifest(dir *fsys.Dir, name string, data []byte, sync bool) (err error) {
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
	err = writeAndClose(dir, f, data, sync)
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

func writeAndClose(dir *fsys.Dir, f *os.File, data []byte, sync bool) error {
	defer f.Close()
	err := dir.File("manifest: write", f, func(int) error {
		_, err := f.WriteAt(data, 0)
		return err
	})
	if err != nil || !sync {
		return err
	}
	return dir.File("manifest: sync", f, unix.Fsync)
}

// LoadManifest reads the manifest of target from dir: the last one, else the one that was last made
// durable. It always returns one: an empty one when there is none. An error is for the log alone, and
// says that the last one cannot be used.
func LoadManifest(dir *fsys.Dir, target string) (*Manifest, error) {
	m, err := readManifest(dir, manifestName(target))
	if err == nil {
		return m, nil
	}
	if !fsys.NotExist(err) {
		err = fmt.Errorf("the manifest of %s cannot be used: %w", target, err)
	} else {
		err = nil
	}
	if m, syncedErr := readManifest(dir, syncedName(target)); syncedErr == nil {
		return m, err
	}
	return &Manifest{}, err
}

func readManifest(dir *fsys.Dir, name string) (*Manifest, error) {
	data, err := readFile(dir, name)
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", dir.Join(name), err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s has version %d, this relinkd knows %d", dir.Join(name), m.Version, manifestVersion)
	}
	return &m, nil
}

// errForeign says that relinkd did not write a file. What a manifest says is taken for our own word on
// which files may be replaced.
var errForeign = errors.New("relinkd did not write it")

func readFile(dir *fsys.Dir, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: %w", dir.Join(name), errForeign)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := fsys.Fstat(f)
	if err != nil {
		return nil, err
	}
	if !info.IsRegular() || !info.Ours() || info.Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s: %w", dir.Join(name), errForeign)
	}
	return io.ReadAll(f)
}

// ManifestTargets is the targets of which dir has a manifest, sorted.
func ManifestTargets(dir *fsys.Dir) ([]string, error) {
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, name := range names {
		target, is := strings.CutSuffix(name, manifestName(""))
		if !is {
			target, is = strings.CutSuffix(name, syncedName(""))
		}
		if is && target != "" && !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets, nil
}

// RenameManifest makes what is known of the target from that of the target to, in the place of what was known
// of that one.
func RenameManifest(dir *fsys.Dir, from, to string) error {
	if from == to {
		return nil
	}
	for _, name := range []func(string) string{syncedName, manifestName} { // the one that counts last
		err := dir.Replace("manifest: rename", name(from), dir, name(to))
		if err != nil && !fsys.NotExist(err) {
			return err
		}
	}
	return nil
}
