package powercut

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"relinkd/api"
	"relinkd/config"
	"relinkd/linker/launcher"
	"relinkd/pool"
)

// versions is how many different programs there are.
const versions = 4

// versionOf is the version whose program has that hash, 0 for none.
func versionOf(hash string) int {
	for version := 1; version <= versions; version++ {
		sum := sha256.Sum256(program(version))
		if hex.EncodeToString(sum[:]) == hash {
			return version
		}
	}
	return 0
}

// intact returns the version of the program that is executed by a name. It is an error if it is no
// version in full, or does not run.
func intact(path string) (version int, err error) {
	content, err := os.ReadFile(path)
	if to, is := launcher.Executes(content); err == nil && is {
		content, err = os.ReadFile(to)
	}
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(content)
	if version = versionOf(hex.EncodeToString(sum[:])); version == 0 {
		return 0, fmt.Errorf("%s has %d bytes and is no version in full", path, len(content))
	}
	if out, err := exec.Command(path).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s has version %d and does not run: %w %s", path, version, err, out)
	}
	return version, nil
}

// examine looks at a disk as a power cut has left it.
func (s *site) examine(want expectation) error {
	if _, err := os.Lstat(s.path); errors.Is(err, fs.ErrNotExist) && want.packaged == 0 {
		return nil
	}
	version, err := intact(s.path)
	if err != nil {
		return err
	}
	if version < want.inForce || version > want.newest {
		return fmt.Errorf("path has version %d, want %d to %d", version, want.inForce, want.newest)
	}
	if want.plain {
		if err := regular(s.path); err != nil {
			return err
		}
	}
	if s.publish != config.PublishNone {
		return nil
	}
	version, err = intact(s.privateLink())
	if errors.Is(err, fs.ErrNotExist) && want.inForce == 0 {
		_, err = os.Lstat(s.privateLink()) // it may be missing, but must not lead nowhere
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, errors.New("the private link leads nowhere"))
	}
	if err != nil {
		return err
	}
	if version < want.inForce || version > want.newest {
		return fmt.Errorf("the private link leads to version %d, want %d to %d", version, want.inForce, want.newest)
	}
	return nil
}

func regular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is %v, want the packaged file", path, info.Mode())
	}
	if err == nil && info.Size() <= launcher.MaxSize {
		err = fmt.Errorf("%s has %d bytes, want the packaged file", path, info.Size())
	}
	return err
}

// recover starts relinkd, which must come to rest by itself, and looks at everything then.
func (s *site) recover(want expectation) error {
	if err := s.start(); err != nil {
		return err
	}
	defer s.kill()
	target, err := s.until("steady or released", func(t api.TargetStatus) bool {
		return t.State == api.Steady || t.State == api.Released || t.State == api.Absent && want.packaged == 0
	})
	if err != nil {
		return err
	}
	switch {
	case target.State == api.Absent:
		return s.stop()
	case target.State == api.Released && !want.released:
		return errors.New("relinkd is released, though no restore was begun, or manage has answered since")
	case target.State == api.Steady && !want.managed && want.plain:
		return errors.New("relinkd has taken over again after a restore")
	}
	released := target.State == api.Released
	if released { // the restore may have been interrupted: the operator tries again
		if _, err := s.client.Restore(s.t.Context(), name, false); err != nil {
			return fmt.Errorf("%w\n%s", err, s.said())
		}
	}
	version, err := intact(s.path)
	if err != nil {
		return fmt.Errorf("after a new start: %w\n%s", err, s.said())
	}
	if least := max(want.packaged, 1); version < least || version > want.newest {
		return fmt.Errorf("after a new start path has version %d, want %d to %d\n%s", version, least, want.newest, s.said())
	}
	if err := s.tidy(released, version); err != nil {
		return fmt.Errorf("after a new start: %w\n%s", err, s.said())
	}
	if err := s.stop(); err != nil {
		return err
	}
	_, err = intact(s.path)
	return err
}

// tidy checks that all is there that should be, of that version, and nothing else.
func (s *site) tidy(released bool, version int) error {
	names := []string{name}
	var private, optional []string
	switch {
	case !released:
		for n := 1; n <= copies; n++ {
			names = append(names, pool.CopyName(name, n))
		}
		names, private = append(names, ".relinkd"), []string{name}
		if s.publish != config.PublishNone {
			private, optional = append(private, name+".pristine"), []string{name + ".previous"}
		}
	case s.publish == config.PublishNone:
		names, private = append(names, ".relinkd"), []string{name}
	default:
		if err := regular(s.path); err != nil {
			return err
		}
	}
	names = append(names, name+".dpkg-new") // the package manager's own
	if err := holdsOnly(s.bin(), names, []string{name + ".dpkg-new"}); err != nil {
		return err
	}
	if private != nil {
		if err := holdsOnly(s.private(), append(private, optional...), optional); err != nil {
			return err
		}
		for _, n := range private {
			if v, err := intact(filepath.Join(s.private(), n)); err != nil || v != version {
				return errors.Join(err, fmt.Errorf("%s has version %d, path %d", n, v, version))
			}
		}
	}
	if released {
		return nil
	}
	for n := 1; n <= copies; n++ {
		if v, err := intact(filepath.Join(s.bin(), pool.CopyName(name, n))); err != nil || v != version {
			return errors.Join(err, fmt.Errorf("copy %d has version %d, path %d", n, v, version))
		}
	}
	return nil
}

// holdsOnly fails unless the directory holds all the names, of which the optional ones may be missing,
// and nothing else.
func holdsOnly(dir string, names, optional []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), name+".generation-") { // an earlier one
			continue
		}
		found = append(found, e.Name())
		if !slices.Contains(names, e.Name()) {
			return fmt.Errorf("%s is left over in %s", e.Name(), dir)
		}
	}
	for _, n := range names {
		if !slices.Contains(found, n) && !slices.Contains(optional, n) {
			return fmt.Errorf("%s is missing in %s, which holds %v", n, dir, found)
		}
	}
	return nil
}
