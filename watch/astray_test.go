package watch

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/config"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
	"relinkd/linker"
)

// What somebody does to the private link or the private directory, through which every process goes.
var privateTamperings = []struct {
	name string
	do   func(t *testing.T, s *site)
	kept string // the file of that name is kept in the private directory
}{
	{name: "the private link is removed", do: func(t *testing.T, s *site) { must(t, os.Remove(s.privateLink())) }},
	{name: "the private link is moved away", do: func(t *testing.T, s *site) {
		must(t, os.Rename(s.privateLink(), filepath.Join(t.TempDir(), "moved")))
	}},
	{name: "the private link is made to lead to another copy", do: func(t *testing.T, s *site) { relink(t, "../imapd_003", s.privateLink()) }},
	{name: "the private link is made to lead to a copy by its whole path", do: func(t *testing.T, s *site) { relink(t, s.copy(1), s.privateLink()) }},
	{name: "the private link is made to lead nowhere", do: func(t *testing.T, s *site) { relink(t, "nowhere", s.privateLink()) }},
	{name: "the private link is made to lead to itself", do: func(t *testing.T, s *site) { relink(t, name, s.privateLink()) }},
	{name: "a file is moved over the private link", kept: name + ".drifted", do: func(t *testing.T, s *site) {
		must(t, standin.Write(s.privateLink(), "other"))
	}},
	{name: "a directory takes the place of the private link", kept: name + ".drifted", do: func(t *testing.T, s *site) {
		eventually(t, "a directory stands there", func() bool { // it is mended meanwhile
			must(t, os.Remove(s.privateLink()))
			return os.Mkdir(s.privateLink(), 0o755) == nil
		})
	}},
	{name: "the private directory is shut to others", do: func(t *testing.T, s *site) { must(t, os.Chmod(s.private(""), 0o700)) }},
	{name: "the private directory is shut to all", do: func(t *testing.T, s *site) { must(t, os.Chmod(s.private(""), 0)) }},
	{name: "the private directory is shut to one user", do: func(t *testing.T, s *site) {
		err := unix.Setxattr(s.private(""), accessList, listFor(12345, 0), 0)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("left out: this file system has no access lists")
		}
		must(t, err)
	}},
	{name: "the private directory is removed", do: func(t *testing.T, s *site) {
		eventually(t, "the private directory is deleted", func() bool { return os.RemoveAll(s.private("")) == nil })
	}},
	{name: "the private directory is moved away", do: func(t *testing.T, s *site) {
		must(t, os.Rename(s.private(""), filepath.Join(filepath.Dir(s.dir), "moved")))
	}},
}

// accessList is the extended attribute that is a file's access list.
const accessList = "system.posix_acl_access"

// listFor is an access list, struct posix_acl_xattr_header and its entries of linux/posix_acl_xattr.h, that gives
// what mode 0755 does, and one more user perm.
func listFor(user uint32, perm uint16) []byte {
	const undefined = ^uint32(0)
	list := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 7, undefined}, {0x02, perm, user}, {0x04, 5, undefined}, {0x10, 5, undefined}, {0x20, 5, undefined}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.perm)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

// relink makes path a link that says text, in one step.
func relink(t *testing.T, text, path string) {
	t.Helper()
	must(t, os.Symlink(text, path+".theirs"))
	must(t, os.Rename(path+".theirs", path))
}

// What leads processes to a copy is looked at, and mended at once: by the event, and by looking where there
// was no event to be had.
func TestPrivateTampering(t *testing.T) {
	for _, tampering := range privateTamperings {
		for _, publish := range ways {
			t.Run(tampering.name+"/"+string(publish), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *config.Target) { c.Publish = publish })
				s.install("1")
				d := s.start()
				before := d.steady("1")
				tampering.do(t, s)
				if !within(byEvents, func() bool { return s.intact(before.Current) }) {
					t.Fatalf("after %s the private link says %q, the directory has mode %04o; the status is %+v", byEvents,
						linkTextOf(s.privateLink()), lstat(t, s.private("")).Perm(), d.target())
				}
				if d.steady("1"); tampering.kept != "" {
					if lstat(t, s.private(tampering.kept)).ID.IsZero() {
						t.Errorf("%s is not kept", tampering.kept)
					}
				}
				if !strings.Contains(s.log.String(), `"level":"warn"`) {
					t.Error("nobody is told")
				}
				faults.Record(t, faults.Row{What: "steady", Injected: tampering.name, Times: 3, Survived: "it is put right by the event and told, all others stay as they are"})
			})
		}
	}
}

// intact reports whether the private link leads to a copy as relinkd has them lead, through a directory that is open to
// all: to current, or to any if the link had to be made again of what the disk tells.
func (s *site) intact(current string) bool {
	text := linkTextOf(s.privateLink())
	var st unix.Stat_t
	if unix.Stat(s.private(""), &st) != nil || st.Mode&0o777 != 0o755 {
		return false
	}
	if n, err := unix.Getxattr(s.private(""), accessList, nil); err == nil && n > 0 {
		return false
	}
	_, err := os.Stat(s.privateLink())
	return err == nil && (text == "../"+current || text == "../imapd_001")
}

// linkTextOf is what a link says, "" for what is none.
func linkTextOf(path string) string {
	text, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	return text
}

// What a daemon finds at its start is mended like what happens before its eyes.
func TestPrivateTamperedBeforeTheStart(t *testing.T) {
	for _, tampering := range privateTamperings {
		t.Run(tampering.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.install("1")
			d := s.start()
			d.steady("1")
			d.stop()
			tampering.do(t, s)
			s.start().steady("1")
		})
	}
}

// A rotation is no news: the loop does not look at the disk for what it has done itself.
func TestRotationIsNoNews(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.steady("1")
	d.mu.Lock()
	l := d.loops[name]
	d.mu.Unlock()
	for range 50 {
		_, err := d.Rotate(t.Context(), name, 0)
		must(t, err)
	}
	relink(t, linker.LinkText(name, 1), s.private("marker")) // the events before this one have been read
	must(t, os.Remove(s.private("marker")))
	select {
	case <-l.install.C():
		t.Error("a rotation is taken for somebody else's doing")
	default:
	}
}
