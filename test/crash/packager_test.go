package crash_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"relinkd/internal/standin"
)

// packager puts one version after the other at path, as dpkg does: a finished file PATH.dpkg-new is
// renamed over path. It keeps each version open until the next, and so knows when one is destroyed.
type packager struct {
	path   string
	number int      // of the version in place
	held   *os.File // that version
}

func (p *packager) version() string { return version(p.number) }

// upgrade puts the next version in place. An error also says that the version before was destroyed
// by somebody else: only this upgrade may do that.
func (p *packager) upgrade() error {
	temporary := p.path + ".dpkg-new"
	next, err := newFile(temporary, standin.ELF(version(p.number+1)))
	if err != nil {
		return err
	}
	err = p.lost()
	if renamed := os.Rename(temporary, p.path); renamed != nil {
		return errors.Join(err, renamed, next.Close())
	}
	p.close()
	p.number, p.held = p.number+1, next
	return err
}

// lost is an error if the version in place has no name any more.
func (p *packager) lost() error {
	if p.held == nil {
		return nil
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(p.held.Fd()), &st); err != nil {
		return err
	}
	if st.Nlink == 0 {
		return fmt.Errorf("%s is lost: it was in place, and has no name any more", p.version())
	}
	return nil
}

// inode is that of the version in place.
func (p *packager) inode() (uint64, error) {
	var st syscall.Stat_t
	err := syscall.Fstat(int(p.held.Fd()), &st)
	return st.Ino, err
}

func (p *packager) close() {
	if p.held != nil {
		p.held.Close()
	}
}

// newFile writes an executable and opens it for reading. This process forks as well, and a child that
// had it open for writing would make executing it fail with ETXTBSY.
func newFile(path string, content []byte) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(content)
	if err == nil {
		err = w.Chmod(0o755)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// keepUpgrading puts new versions in place, each after a random time below gap, until stop is called.
// stop returns what went wrong.
func (p *packager) keepUpgrading(r *rand.Rand, gap time.Duration) (stop func() error) {
	r = rand.New(rand.NewPCG(r.Uint64(), 0)) // one of its own
	over := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		var errs []error
		for {
			select {
			case <-over:
				ended <- errors.Join(errs...)
				return
			case <-time.After(upTo(r, gap)):
			}
			if err := p.upgrade(); err != nil {
				errs = append(errs, err)
			}
		}
	}()
	return func() error {
		close(over)
		return <-ended
	}
}
