package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// places are the directories that everything happens in.
type places struct {
	disk    string   // on the file system of -dir: what is written and synced
	journal string   // on an ext4 with a journal, or the same as disk: what is linked and renamed
	why     string   // why there is no such ext4; "" when there is
	mounts  []string // to be undone
}

// makePlaces makes them. That the ext4 cannot be made is no error.
func makePlaces(dir string) (places, error) {
	top, err := os.MkdirTemp(dir, "relinkd-peers-")
	if err != nil {
		return places{}, fmt.Errorf("cannot make a scratch directory: %v; name another one with -dir", err)
	}
	if err := os.Chmod(top, 0o755); err != nil {
		return places{}, errors.Join(fmt.Errorf("cannot make a scratch directory: %v", err), os.RemoveAll(top))
	}
	p := places{disk: top, journal: top}
	// The scratch directory's own file system may be an ext4 without a journal, as on many virtual
	// machines, which passes over inodes that were deleted lately (recently_deleted in
	// fs/ext4/ialloc.c): every rotation deletes one.
	point, err := p.mount("ext4", 256<<20, "mkfs.ext4", "-q", "-O", "has_journal")
	var not notMeasured
	switch {
	case errors.As(err, &not):
		p.why = string(not)
	case err != nil:
		return places{}, errors.Join(err, p.remove())
	default:
		p.journal = point
	}
	return p, nil
}

// mount makes a file system in a sparse file of so many bytes and mounts it. Where it cannot, the
// error is notMeasured.
func (p *places) mount(name string, size int64, mkfs ...string) (point string, err error) {
	if !root() {
		return "", notMeasured("not root, who alone can mount " + name)
	}
	point, err = sub(p.disk, name)
	if err != nil {
		return "", err
	}
	image := point + ".image"
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(image, size); err != nil {
		return "", err
	}
	for _, command := range [][]string{append(mkfs, image), {"mount", "-o", "loop", image, point}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return "", notMeasured(fmt.Sprintf("%s: %v: %s", command[0], err, out))
		}
	}
	p.mounts = append(p.mounts, point)
	return point, nil
}

// remove takes all of it away.
func (p *places) remove() error {
	for _, point := range p.mounts {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("cannot unmount %s: %v; unmount it and remove %s by hand", point, err, p.disk)
		}
	}
	if err := os.RemoveAll(p.disk); err != nil {
		return fmt.Errorf("cannot remove the scratch directory: %v; remove %s by hand", err, p.disk)
	}
	return nil
}

// sub makes a directory in one of the places.
func sub(parent, name string) (string, error) {
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make a directory: %v", err)
	}
	return dir, nil
}
