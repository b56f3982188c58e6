package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"relinkd/api"
	"relinkd/config"
	"relinkd/fsys"
	"relinkd/linker"
	"relinkd/pool"
	"relinkd/watch/install"
)

// adopt puts file in force, with the owner and the mode of the source in force, as an upgrade would: all
// copies are made from a clone of it, which then becomes the pristine. Path stays our link throughout, so
// that nothing has changed when any of that fails. It ends with ctx.
func (t *target) adopt(ctx context.Context, file string) (*waiter, error) {
	if err := t.mayAdopt(file); err != nil {
		return nil, err
	}
	return t.adoptAs(ctx, file, t.src.Info()), nil
}

// adoptGeneration is adopt of an earlier generation, by the first digits of its hash, with the owner and the
// mode that it had.
func (t *target) adoptGeneration(ctx context.Context, hash string) (*waiter, error) {
	if err := t.mayAdopt("the earlier generation"); err != nil {
		return nil, err
	}
	g, err := t.findGeneration(hash)
	if err != nil {
		return nil, err
	}
	return t.adoptAs(ctx, t.link.Private().Join(g.Name), g.Info), nil
}

// mayAdopt refuses where there is nothing to put a file in the place of.
func (t *target) mayAdopt(what string) error {
	if t.cfg.Publish == config.PublishNone {
		return fmt.Errorf(`%w: with publish = "none" path is not relinkd's to change: install %s at %s`, api.ErrRefused, what, t.cfg.Path)
	}
	if t.released || t.src == nil || t.link == nil {
		return fmt.Errorf("%w: %s has no source in force (%s%s)", api.ErrRefused, t.name, t.status, because(t.reason))
	}
	if at, err := t.link.Look(); err != nil || at.Kind != linker.Ours {
		return errors.Join(fmt.Errorf("%w: %s is %s", api.ErrRefused, t.cfg.Path, at.Kind), err)
	}
	return nil
}

// adoptAs is adopt with the owner and the mode of like.
func (t *target) adoptAs(ctx context.Context, file string, like fsys.Info) *waiter {
	t.cancelWork()
	w := t.wait()
	t.retry.reset()
	t.status = api.Cloning
	link, dir, inForce := t.link, t.dirPath(), t.src.SHA256()
	t.start(ctx, &job{origin: fromAdopted, file: file, asked: w}, func() (*os.File, error) { return makeAdopted(ctx, link, dir, file, like, inForce) })
	t.wake()
	return w
}

// errInForce says that a file has the content of the source in force.
var errInForce = errors.New("it is in force")

// makeAdopted makes the clone of file that is to become the pristine of the install directory dir, and asks of
// it what is asked of a source. Where it has the hash inForce there is no need to: errInForce.
func makeAdopted(ctx context.Context, link *linker.Link, dir, file string, like fsys.Info, inForce string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // opening a fifo would wait for a writer
	if err != nil {
		return nil, err
	}
	src, err := pool.ReadSource(ctx, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	defer src.Close()
	if src.SHA256() == inForce {
		return nil, errInForce
	}
	if err := link.DropAdopted(); err != nil { // left by a crash
		return nil, err
	}
	if _, err := pool.CloneAs(ctx, src, link.Private(), link.AdoptName()); err != nil {
		return nil, err
	}
	adopted, err := link.PrepareAdopted(like)
	if err != nil {
		return nil, err
	}
	if err = install.Complete(adopted, dir); err == nil {
		err = pool.Executable(adopted)
	}
	if err != nil {
		adopted.Close()
		return nil, err
	}
	return adopted, nil
}

// promote ends an adoption: the copies are made, and what they were made from becomes the pristine.
func (t *target) promote(j *job, before, src *pool.Source) error {
	if err := t.link.Promote(before.SHA256(), src.SHA256()); err != nil {
		if !t.isPristine(src) {
			return err
		}
		t.wrong(zerolog.WarnLevel, advise(err), "it is in force, and a power cut might undo that")
	}
	t.did(api.Event{Kind: api.EventManage, Reason: "adopted"}, "put %s in force at %s", j.file, t.cfg.Path)
	j.asked.inForce = true
	if t.cfg.Publish == config.PublishLauncher {
		if err := t.renewLauncher(); err != nil { // the one that stands there executes it as well
			t.warn(repair("launcher not renewed", ""), "%s stays as it is: %s", t.cfg.Path, advise(err))
		}
	}
	return nil
}

// notAdopted ends an adoption that failed. The source before it is the pristine still: should copies have
// got their names already, Ensure makes them from that again.
func (t *target) notAdopted(j *job, err error) {
	if t.link != nil && t.link.Private() != nil {
		err = errors.Join(err, t.link.DropAdopted())
	}
	if j.written {
		err = errors.Join(err, t.save())
	}
	t.unwait(j.asked)
	t.retry.reset()
	t.wake()
	if errors.Is(err, errInForce) {
		j.asked.report.Done = append(j.asked.report.Done, fmt.Sprintf("%s has what is in force already", j.file))
		j.asked.done <- nil
		return
	}
	j.asked.done <- fmt.Errorf("%w: cannot adopt %s, what was in force stays: %s", api.ErrRefused, j.file, advise(err))
}

// prune removes the earlier generations beyond those that the configuration asks for.
func (t *target) prune() {
	dropped, err := t.link.Prune(t.cfg.Keep)
	if err != nil {
		t.wrong(zerolog.WarnLevel, err.Error(), "an earlier generation stays")
	}
	for _, g := range dropped {
		t.log.Info().Str(api.FieldGeneration, api.ShortHash(g.SHA256)).Msg("an earlier generation is no longer kept")
	}
}

// generations lists what is in force and what is kept.
func (t *target) generations() (api.TargetGenerations, error) {
	all := api.TargetGenerations{Target: t.name, Path: t.cfg.Path, Generations: []api.KeptGeneration{}}
	if err := t.look(); err != nil || t.link == nil {
		return all, err
	}
	if t.src != nil {
		info, file := t.src.Info(), t.cfg.Path
		if t.cfg.Publish != config.PublishNone {
			file = t.link.Private().Join(t.link.PristineName())
		}
		all.Generations = append(all.Generations, api.KeptGeneration{SHA256: t.src.SHA256(), Size: info.Size, Modified: info.ModTime(), InForce: true, File: file})
	}
	kept, err := t.link.Generations()
	for _, g := range kept {
		all.Generations = append(all.Generations, api.KeptGeneration{SHA256: g.SHA256, Size: g.Info.Size, Modified: g.Info.ModTime(), File: t.link.Private().Join(g.Name)})
	}
	return all, err
}

// keepSource keeps a source that is no longer in force as an earlier generation, and closes it. It is for
// publish = "none", where nothing else has kept it: path is the package manager's.
func (t *target) keepSource(before *pool.Source) {
	if t.cfg.Keep == 0 {
		t.drop(before)
		return
	}
	private, name := t.link.Private(), t.link.GenerationName(before.SHA256())
	t.off(func() func() {
		_, err := pool.CloneAs(context.Background(), before, private, name)
		if fsys.Exist(err) {
			err = nil
		}
		return func() {
			t.drop(before)
			if err != nil {
				t.wrong(zerolog.WarnLevel, advise(err), "the generation before the upgrade is not kept")
			} else if t.link != nil {
				t.prune()
			}
		}
	})
}

// findGeneration is the earlier generation whose hash begins with prefix.
func (t *target) findGeneration(prefix string) (linker.Generation, error) {
	all, err := t.link.Generations()
	if err != nil {
		return linker.Generation{}, err
	}
	var found []linker.Generation
	var have []string
	for _, g := range all {
		have = append(have, api.ShortHash(g.SHA256))
		if strings.HasPrefix(g.SHA256, strings.ToLower(prefix)) {
			found = append(found, g)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return linker.Generation{}, fmt.Errorf("%w: %d earlier generations of %s begin with %q: give more digits", api.ErrRefused, len(found), t.name, prefix)
	case len(have) == 0:
		return linker.Generation{}, fmt.Errorf("%w: no earlier generation of %s is kept", api.ErrRefused, t.name)
	}
	return linker.Generation{}, fmt.Errorf("%w: no earlier generation of %s begins with %q: there are %s", api.ErrRefused, t.name, prefix, strings.Join(have, ", "))
}
