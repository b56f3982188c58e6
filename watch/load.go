package watch

import (
	"context"
	"os"
	"time"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
)

// load finds out, once after the install directory was opened, which copies stand there and what
// they were made from, so that a new start of the daemon changes nothing that is right. What was
// interrupted shows as copies of two generations; Ensure then makes the missing ones.
func (t *target) load() error {
	if t.pool != nil {
		return nil
	}
	view, err := t.link.View()
	if err != nil {
		return err
	}
	m, merr := t.manifest()
	if t.link.Private() == nil && view.Path.Kind != linker.Ours && !t.lostPrivate(m) {
		return nil
	}
	if t.current, err = t.link.Current(); err != nil {
		return err
	}
	if t.current > 0 {
		t.setLinked(view.Private)
	}
	if merr != nil {
		t.log.Warn().Err(merr).Msg("the manifest is of no use")
	}
	t.pool = pool.New(t.link.Dir(), t.link.Private(), t.base())
	if err := t.loadCopies(view, m); err != nil {
		return err
	}
	if err := t.fallBack(m); err != nil {
		return err
	}
	for _, id := range m.Stale {
		t.stale[id] = time.Now()
	}
	t.wanted = t.cfg.Copies
	if t.src == nil {
		return nil
	}
	t.blockForeign(t.existing())
	if m.Wanted != 0 && m.Wanted != t.cfg.Copies {
		return nil // the administrator has changed it since, and means it, as in configure
	}
	// Grown copies stay in the pool.
	for n := t.following(); t.wanted < t.cfg.MaxCopies && t.isOwned(n) && t.owned(n).SHA256 == t.src.SHA256(); n = t.following() {
		t.wanted++
	}
	if t.complete() {
		t.log.Info().Int("copies", t.wanted).Str(api.FieldGeneration, api.ShortHash(t.src.SHA256())).Msg("took over the copies that stand")
	}
	return nil
}

// loadCopies finds out which copies were made from what stands there, and which of that is in force.
func (t *target) loadCopies(view linker.View, m *pool.Manifest) error {
	numbers := t.existing()
	for _, s := range t.candidates(view) {
		src, err := t.source(s.dir, s.name, m)
		if fsys.NotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if s.name == t.link.PristineName() && t.wasWritten(src, m, view) {
			t.spoiled = true
			src.Close()
			continue
		}
		adopted, rest, err := t.pool.Adopt(context.Background(), src, numbers, m)
		if err != nil {
			src.Close()
			return err
		}
		numbers = rest
		inForce := view.Private != "" || t.cfg.Publish == config.PublishNone && m.SHA256 == src.SHA256()
		if t.src == nil && (len(adopted) > 0 || s.name == t.link.PristineName()) && inForce {
			t.src = src
			t.sinceOf(m, src)
			continue
		}
		src.Close()
	}
	return nil
}

// lostPrivate reports whether the private directory, which an administrator has processes go through, is gone
// while there are copies that the manifest knows.
func (t *target) lostPrivate(m *pool.Manifest) bool {
	return t.cfg.Publish == config.PublishNone && len(m.Copies) > 0 && t.knownCopy(m) != 0
}

// candidate is a file that copies may have been made from.
type candidate struct {
	dir  *fsys.Dir
	name string
}

// candidates is those that stand there, the one in force first.
func (t *target) candidates(v linker.View) []candidate {
	var all []candidate
	if v.Pristine.Kind == linker.File {
		all = append(all, candidate{t.link.Private(), t.link.PristineName()})
	}
	if v.Path.Kind == linker.File {
		all = append(all, candidate{t.link.Dir(), t.base()})
	}
	if v.Previous.Kind == linker.File {
		all = append(all, candidate{t.link.Private(), t.link.PreviousName()})
	}
	return all
}

// source reads a candidate, without hashing it when the manifest knows it.
func (t *target) source(dir *fsys.Dir, name string, m *pool.Manifest) (*pool.Source, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := fsys.Fstat(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	var src *pool.Source
	if info == m.Pristine && m.SHA256 != "" {
		src, err = pool.Known(f, m.SHA256)
	} else {
		src, err = pool.ReadSource(context.Background(), f)
	}
	if err != nil {
		f.Close()
	}
	return src, err
}

// wasWritten reports whether the pristine has another content than the copies that stand just as the manifest
// says: it was written to, or another file was put in its place. Where an upgrade was made, or taken back, the
// previous one and it have changed places, and the copies may be those that the manifest says were staged.
func (t *target) wasWritten(pristine *pool.Source, m *pool.Manifest, v linker.View) bool {
	if m.SHA256 == "" || pristine.SHA256() == m.SHA256 || pristine.Info().ID == t.recovered {
		return false
	}
	if staged := t.stagedContent(m); staged != "" {
		return pristine.SHA256() != staged
	}
	swapped := v.Previous.Info.ID == m.Pristine.ID || !m.Previous.IsZero() && pristine.Info().ID == m.Previous
	return !swapped && t.knownCopy(m) != 0
}

// stagedContent returns the hash of a copy that stands untouched, of the generation that was about to come into force
// when the manifest was saved; "" where there is none.
func (t *target) stagedContent(m *pool.Manifest) string {
	for n, staged := range m.Staged {
		if now, err := t.link.Dir().Lstat(pool.CopyName(t.base(), n)); err != nil || !now.SameContent(staged) {
			continue
		}
		src, err := t.copySource(n)
		if err != nil {
			continue
		}
		defer src.Close()
		return src.SHA256()
	}
	return ""
}

// recover mends what a crash or a failed call has left. The pristine may be another file then.
func (t *target) recover() (linker.Repair, error) {
	if t.link.Private() == nil {
		return linker.RepairNone, nil
	}
	before, _ := t.link.Private().Lstat(t.link.PristineName()) // zero if not
	found, err := t.link.Recover(t.isCopy)
	if now, lerr := t.link.Private().Lstat(t.link.PristineName()); lerr == nil && now.ID != before.ID {
		t.recovered = now.ID
	}
	return found, err
}

func (t *target) sinceOf(m *pool.Manifest, src *pool.Source) {
	t.since = m.Since
	if m.SHA256 != src.SHA256() || m.Since.IsZero() {
		t.since = time.Now()
	}
}

// fallBack takes a copy itself as what the copies are compared with, when what they were made from is gone: one
// that the manifest knows or else the linked one.
func (t *target) fallBack(m *pool.Manifest) error {
	if t.src != nil {
		return nil
	}
	n := t.knownCopy(m)
	if n == 0 {
		n = t.current
	}
	if n == 0 {
		return nil
	}
	src, err := t.copySource(n)
	if fsys.NotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	t.pool.Own(pool.Copy{Number: n, Info: src.Info(), SHA256: src.SHA256()})
	if _, _, err := t.pool.Adopt(context.Background(), src, t.existing(), &pool.Manifest{}); err != nil {
		src.Close()
		return err
	}
	t.src, t.since = src, time.Now()
	return nil
}

// knownCopy returns the number of a copy that has the very content which the manifest says is in force, 0 for
// none. The content is read: what a chown of the whole tree, or an access list, has changed of a copy says nothing
// about that.
func (t *target) knownCopy(m *pool.Manifest) int {
	if m.SHA256 == "" {
		return 0
	}
	for _, n := range t.existing() {
		src, err := t.copySource(n)
		if err != nil {
			continue
		}
		known := src.SHA256() == m.SHA256
		src.Close()
		if known {
			return n
		}
	}
	return 0
}

// copySource reads copy n as a source.
func (t *target) copySource(n int) (*pool.Source, error) {
	f, err := t.link.Dir().Open(pool.CopyName(t.base(), n))
	if err != nil {
		return nil, err
	}
	src, err := pool.ReadSource(context.Background(), f)
	if err != nil {
		f.Close()
	}
	return src, err
}

// existing is the numbers of all files of a copy's name.
func (t *target) existing() []int {
	names, err := t.link.Dir().Names()
	if err != nil { // nothing is known of any, and so none is touched
		t.log.Warn().Err(err).Msg("the copies cannot be listed")
		return nil
	}
	var numbers []int
	for _, name := range names {
		if n := pool.CopyNumber(t.base(), name); n != 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// reload forgets what load found, so that it is found out again. No copies are being made then.
func (t *target) reload() {
	if t.src != nil {
		t.src.Close()
	}
	t.src, t.pool, t.current = nil, nil, 0
	t.setLinked("")
}

// isCopy reports whether f has the content of the copies: of the one that the private link leads to.
func (t *target) isCopy(f *os.File) (bool, error) {
	n, err := t.link.Current()
	if err != nil || n == 0 {
		return false, err
	}
	c, err := t.link.Dir().Open(pool.CopyName(t.base(), n))
	if fsys.NotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	return pool.SameContent(context.Background(), f, c)
}

// complete reports whether all copies of the pool are there, of one generation and linked to.
func (t *target) complete() bool {
	if t.pool == nil || t.src == nil || t.current == 0 || t.remake || len(t.suspect) > 0 {
		return false
	}
	there := 0
	for _, c := range t.pool.Owned() {
		if t.isMember(c.Number) && c.SHA256 == t.src.SHA256() {
			there++
		}
	}
	return there == t.wanted && t.isOwned(t.current)
}

// owned is what is known of copy n; the zero Copy when it is not ours.
func (t *target) owned(n int) pool.Copy { return t.pool.Copy(n) }

func (t *target) isOwned(n int) bool { return t.owned(n).Number != 0 }

// manifest is what the last save has left.
func (t *target) manifest() (*pool.Manifest, error) {
	m, err := pool.LoadManifest(t.state, t.name)
	m.Renumber(t.dirID.Dev)
	return m, err
}

// save writes the manifest for the next start. Ahead of a commit it names the staged copies too: after
// a crash in the midst of that both generations' copies are known as ours.
func (t *target) save() error {
	m := &pool.Manifest{
		Path: t.cfg.Path, Publish: string(t.cfg.Publish), Device: t.dirID.Dev, Packaged: t.install.Packaged(), Since: t.since, Link: t.link.Put(), Backup: t.link.Backup(),
		Wanted: t.cfg.Copies, Copies: map[int]fsys.Info{},
	}
	if t.src != nil {
		m.SHA256, m.Size, m.Pristine = t.src.SHA256(), t.src.Info().Size, t.src.Info()
		// A rename has changed the file's ctime since it was read.
		if now, err := fsys.Fstat(t.src.File()); err == nil && now.SameContent(m.Pristine) {
			m.Pristine = now
		}
	}
	if private := t.link.Private(); private != nil {
		names := []string{t.link.PreviousName()}
		if at, err := t.link.Look(); err == nil && at.Kind == linker.File && at.Info.ID == m.Pristine.ID && t.cfg.Publish != config.PublishNone {
			names = append(names, t.link.PristineName()) // ahead of the exchange the one before bears that name still
		}
		for _, name := range names {
			if info, err := private.Lstat(name); err == nil && info.ID != m.Pristine.ID {
				m.Previous = info.ID
			}
		}
	}

	for _, c := range t.pool.Owned() {
		if t.src == nil || c.SHA256 != t.src.SHA256() { // ours, but a start must not take it for one of this generation unread
			c.Info.Ctime = 0
		}
		m.Copies[c.Number] = c.Info
	}
	for _, j := range t.jobs() {
		for _, c := range j.staged {
			if m.Staged == nil {
				m.Staged = map[int]fsys.Info{}
			}
			m.Staged[c.Number] = c.Info
			if t.isOwned(c.Number) {
				m.Stale = append(m.Stale, t.owned(c.Number).Info.ID)
			}
		}
	}
	for id := range t.stale {
		m.Stale = append(m.Stale, id)
	}
	return m.Save(t.state, t.name)
}
