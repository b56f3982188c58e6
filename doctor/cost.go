package doctor

import (
	"fmt"

	"relinkd/config"
)

const block = 4096 // bytes, of the file systems that executables are on

// judgeCost tells what copies take.
func (d directoryFacts) judgeCost(t config.Target) []Finding {
	f := &found{section: Cost, target: t.Name}
	if d.Size == 0 {
		return nil
	}
	one := (d.Size + block - 1) / block * block
	all, most := int64(t.Copies)*one, int64(t.MaxCopies)*one
	grown := ""
	if t.MaxCopies > t.Copies && t.Rotation == config.RotationAdaptive {
		grown = fmt.Sprintf(", at most %s for %d", size(most), t.MaxCopies)
	}
	f.fine(fmt.Sprintf("page cache: up to %s for %d copies%s", size(all), t.Copies, grown),
		"each copy is a file of its own to the kernel, with reflinks too; what no process runs may be dropped")
	const why = "in an upgrade the new copies stand beside the old ones for a moment, and replaced ones take room until their last process ends"
	switch {
	case d.Reflink == yes:
		f.fine(fmt.Sprintf("disk: next to nothing, as %d copies share the blocks of the executable (%s)", t.Copies, size(d.Size)), why)
	case d.Free < all:
		f.needs(fmt.Sprintf("disk: a new generation of %d copies takes %s, and %s is free", t.Copies, size(all), size(d.Free)), why, "make room, or lower copies")
	default:
		f.fine(fmt.Sprintf("disk: %s for %d copies%s; %s is free", size(all), t.Copies, grown, size(d.Free)), why)
	}
	switch {
	case d.Inodes < 0:
	case d.Inodes < int64(t.Copies):
		f.needs(fmt.Sprintf("inodes: a new generation takes %d, and %d are free", t.Copies, d.Inodes), why, "remove files, or lower copies")
	default:
		f.fine(fmt.Sprintf("inodes: %d, and as many in an upgrade; %d are free", t.Copies, d.Inodes), why)
	}
	return f.all
}

// size is bytes for people.
func size(n int64) string {
	switch {
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}
