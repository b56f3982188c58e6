package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

const (
	cloneSize  = 2 << 20 // bytes
	cloneLimit = 1.5
)

// measureClone makes durable and checked copies as an upgrade does, beside cp with one sync, and
// then once more where the file system can share data.
func measureClone(ctx context.Context, b *bench) ([]row, error) {
	what := fmt.Sprintf("clone %d copies of %s", copies, mebibytes(cloneSize))
	beside, err := cloneBesideCp(ctx, b, what)
	if err != nil {
		return nil, err
	}
	r := row{what: what + " on xfs with reflinks, bytes written to the device", limit: "no data: less than one copy"}
	written, err := reflink(ctx, b)
	var not notMeasured
	switch {
	case errors.As(err, &not):
		r.met = not.Error()
	case err != nil:
		return nil, err
	default:
		r.relinkd, r.met = mebibytes(written), verdict(written < cloneSize)
		r.peer = "size of the copies " + mebibytes(copies*cloneSize)
	}
	return []row{beside, r}, nil
}

// cloneBesideCp takes the time of both.
func cloneBesideCp(ctx context.Context, b *bench, what string) (row, error) {
	r := row{
		what:  what + ", durable; relinkd also compares them with their source",
		peer:  "cp and one sync",
		limit: "≤ " + times(cloneLimit),
	}
	if err := b.tools.need("cp", "sh"); err != nil {
		r.met = err.Error()
		return r, nil
	}
	s, err := newSite(b.disk, "clone", cloneSize)
	if err != nil {
		return r, err
	}
	p, src, end, err := openPool(ctx, s)
	if err != nil {
		return r, err
	}
	defer end()
	var ours, theirs series
	for range b.rounds {
		took, err := stage(ctx, p, src)
		if err != nil {
			return r, err
		}
		ours.addTime(took)
		if took, err = cp(ctx, s); err != nil {
			return r, err
		}
		theirs.addTime(took)
	}
	ratio := ours.over(theirs).median()
	r.relinkd = duration(ours.median())
	r.peer += " " + duration(theirs.median())
	r.ratio, r.met = times(ratio), verdict(ratio <= cloneLimit)
	return r, nil
}

// reflink is how many bytes the making of the copies writes to a device that can share their data.
func reflink(ctx context.Context, b *bench) (written float64, err error) {
	if err := b.tools.need("mkfs.xfs"); err != nil {
		return 0, err
	}
	point, err := b.mount("xfs", 320<<20, "mkfs.xfs", "-q", "-m", "reflink=1")
	if err != nil {
		return 0, err
	}
	s, err := newSite(point, "clone", cloneSize)
	if err != nil {
		return 0, err
	}
	p, src, end, err := openPool(ctx, s)
	if err != nil {
		return 0, err
	}
	defer end()
	if err := syncFileSystem(point); err != nil {
		return 0, err
	}
	before, err := writtenTo(point)
	if err != nil {
		return 0, err
	}
	if _, err := stage(ctx, p, src); err != nil {
		return 0, err
	}
	if err := syncFileSystem(point); err != nil {
		return 0, err
	}
	after, err := writtenTo(point)
	return after - before, err
}

// syncFileSystem writes everything out.
func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("cannot sync %s: %v", dir, err)
	}
	return nil
}

// writtenTo is how many bytes have been written to the device of a directory: field 7 of its stat in
// sysfs (Documentation/block/stat.rst), in sectors of 512 bytes.
func writtenTo(dir string) (float64, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	file := fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev))
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, notMeasured(err.Error())
	}
	fields := strings.Fields(string(content))
	if len(fields) < 7 {
		return 0, fmt.Errorf("cannot read %s: it holds %q", file, content)
	}
	sectors, err := strconv.ParseFloat(fields[6], 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %v", file, err)
	}
	return 512 * sectors, nil
}

// stage is the time in which relinkd makes the copies, which are removed again.
func stage(ctx context.Context, p *pool.Pool, src *pool.Source) (time.Duration, error) {
	numbers := make([]int, copies)
	for i := range numbers {
		numbers[i] = i + 1
	}
	begun := time.Now()
	staged, err := p.Stage(ctx, src, numbers)
	if err != nil {
		return 0, err
	}
	took := time.Since(begun)
	return took, staged.Discard()
}

// cp is the time in which cp makes them.
func cp(ctx context.Context, s *site) (time.Duration, error) {
	const script = `for n in $(seq "$3"); do cp -p --reflink=auto "$1" "$2/$n"; done; sync -f "$2"`
	dir, err := sub(s.root, "cp")
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	out, err := exec.CommandContext(ctx, "sh", "-ec", script, "sh", s.path, dir, strconv.Itoa(copies)).CombinedOutput()
	took := time.Since(begun)
	if err != nil {
		return 0, fmt.Errorf("cp: %v: %s", err, out)
	}
	if err := os.RemoveAll(dir); err != nil {
		return 0, fmt.Errorf("cannot remove what cp has made: %v", err)
	}
	return took, nil
}

// openPool is the site's pool without copies, its source, and what ends both.
func openPool(ctx context.Context, s *site) (p *pool.Pool, src *pool.Source, end func(), err error) {
	link, err := openLink(s)
	if err != nil {
		return nil, nil, nil, err
	}
	f, err := link.Dir().Open(filepath.Base(s.path))
	if err == nil {
		src, err = readSource(ctx, f)
	}
	if err != nil {
		link.Close()
		return nil, nil, nil, err
	}
	return pool.New(link.Dir(), link.Private(), target), src, func() { src.Close(); link.Close() }, nil
}

// readSource closes f when it cannot be a source.
func readSource(ctx context.Context, f *os.File) (*pool.Source, error) {
	src, err := pool.ReadSource(ctx, f)
	if err != nil {
		f.Close()
	}
	return src, err
}

// openLink is the site's link, with relinkd's private directory.
func openLink(s *site) (*linker.Link, error) {
	link, err := linker.Open(s.path, new(fsys.FS))
	if err != nil {
		return nil, err
	}
	if err := link.MakePrivate(); err != nil {
		link.Close()
		return nil, err
	}
	return link, nil
}
