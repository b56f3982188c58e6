package watch

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"relinkd/fsys"
	"relinkd/pool"
)

// errNoNumber says that there is no number left to give to a copy.
var errNoNumber = fmt.Errorf("every number up to %d is that of a file that relinkd did not make: move some of them away", pool.MaxCopies)

// errPassed ends a job none of whose copies got its name, for what stands there: it begins anew with other
// numbers.
var errPassed = errors.New("files of copies' names cannot be replaced: starting over with other numbers")

// blockade is what stands in the place of a copy and is not relinkd's to replace, or cannot be replaced. The
// number is passed over until it is gone.
type blockade struct {
	info fsys.Info // what it was; zero where it could not be looked at
}

// block passes over number n from now on, because of what stands there. It is told once.
func (t *target) block(n int, why error) {
	if _, is := t.blocked[n]; is {
		return
	}
	info, _ := t.link.Dir().Lstat(pool.CopyName(t.base(), n)) // zero if not
	t.blocked[n] = blockade{info}
	if c := t.pool.Copy(n); t.isOwned(n) && c.Info.ID != info.ID { // another file has taken its place: it is a copy no more
		t.stale[c.Info.ID] = time.Now()
		t.pool.Disown(n)
	}
	delete(t.suspect, n)
	delete(t.doubted, n)
	name := pool.CopyName(t.base(), n)
	t.warn(repair("passed over", name), "%v; it is left, and relinkd goes on with other numbers", why)
}

// unblock lets go of the numbers whose names are free again, or are another file's.
func (t *target) unblock() {
	for n, b := range t.blocked {
		if now, err := t.link.Dir().Lstat(pool.CopyName(t.base(), n)); err == nil && now.ID == b.info.ID && now.Ctime == b.info.Ctime ||
			err != nil && !fsys.NotExist(err) && b.info == (fsys.Info{}) {
			continue
		}
		delete(t.blocked, n)
		t.wake()
	}
}

// isFree reports whether relinkd may give copy n its name. If not the number is passed over.
func (t *target) isFree(n int) bool {
	if _, is := t.blocked[n]; is {
		return false
	}
	if err := t.pool.Check([]int{n}); err != nil {
		t.block(n, err)
		return false
	}
	return true
}

// blockForeign passes over the numbers of the files that were found to be none of ours.
func (t *target) blockForeign(numbers []int) {
	for _, n := range numbers {
		t.isFree(n)
	}
}

// rank is the how manieth number n is of those that are not passed over.
func (t *target) rank(n int) int {
	rank := n
	for b := range t.blocked {
		if b < n {
			rank--
		}
	}
	return rank
}

// isMember reports whether number n is one of the pool's.
func (t *target) isMember(n int) bool {
	_, is := t.blocked[n]
	return !is && t.rank(n) <= t.wanted
}

// numbers is those of all copies that make up the pool, in order.
func (t *target) numbers() []int {
	all := make([]int, 0, t.wanted)
	for n := 1; len(all) < t.wanted && n <= pool.MaxCopies; n++ {
		if _, is := t.blocked[n]; !is {
			all = append(all, n)
		}
	}
	return all
}

// following is the number that the pool grows to next, 0 when there is none.
func (t *target) following() int {
	for n := 1; n <= pool.MaxCopies; n++ {
		if _, is := t.blocked[n]; !is && !t.isMember(n) {
			return n
		}
	}
	return 0
}

// freeFrom is the first number from n on that has no good copy and whose name is free for one; 0 when there
// is none.
func (t *target) freeFrom(n int) int {
	for ; n <= pool.MaxCopies; n++ {
		good := t.isMember(n) && t.isOwned(n) && !t.suspect[n]
		if !good && t.isFree(n) {
			return n
		}
	}
	return 0
}

// allFree is numbers, which are ascending, with the next ones in place of those that are passed over.
func (t *target) allFree(numbers []int) (free []int) {
	last := 0
	for _, n := range numbers {
		if last = t.freeFrom(max(n, last+1)); last == 0 {
			break
		}
		free = append(free, last)
	}
	return free
}

// numbersBut returns the numbers of the pool that are not among asked, and puts them there. What is being made
// already is left to who makes it.
func (t *target) numbersBut(asked map[int]bool) (numbers []int, err error) {
	all := t.numbers()
	for _, n := range all {
		if !asked[n] && (t.growing == nil || !slices.Contains(t.growing.numbers, n)) {
			numbers = append(numbers, n)
		}
		asked[n] = true
	}
	if len(numbers) == 0 && len(all) < t.wanted {
		return nil, errNoNumber
	}
	return numbers, nil
}

// passOver passes over what Commit has passed over, and returns what else went wrong.
func (t *target) passOver(err error) error {
	passed := (*pool.PassedError)(nil)
	if !errors.As(err, &passed) {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(passed.Copies)) {
		t.block(n, passed.Copies[n])
	}
	var others []error
	for _, e := range unjoined(err) {
		if e != error(passed) {
			others = append(others, e)
		}
	}
	return errors.Join(others...)
}

// unjoined is the errors that errors.Join has put together.
func unjoined(err error) []error {
	if joined, is := err.(interface{ Unwrap() []error }); is {
		if _, passed := err.(*pool.PassedError); !passed {
			return joined.Unwrap()
		}
	}
	return []error{err}
}

// passedNotice tells of the numbers that are passed over, "" for none.
func (t *target) passedNotice() string {
	if len(t.blocked) == 0 {
		return ""
	}
	const few = 3
	numbers := slices.Sorted(maps.Keys(t.blocked))
	var names []string
	for _, n := range numbers[:min(few, len(numbers))] {
		names = append(names, pool.CopyName(t.base(), n))
	}
	text := strings.Join(names, ", ")
	if more := len(numbers) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + " cannot be replaced or were not made by relinkd, and are passed over; to have their numbers used again move them away"
}

// firstOf is the lowest number of a copy of src that the private link may lead to, 0 for none.
func (t *target) firstOf(src *pool.Source) int {
	for _, c := range t.pool.Owned() {
		if c.SHA256 == src.SHA256() && t.isMember(c.Number) && !t.suspect[c.Number] {
			return c.Number
		}
	}
	return 0
}

// ownPool is the pool of what stands in the install directory, with a private directory to make copies in.
func (t *target) ownPool() error {
	if t.pool != nil && t.pool.HasPrivate() {
		return nil
	}
	if err := t.link.MakePrivate(); err != nil {
		return err
	}
	before := t.pool
	t.pool = pool.New(t.link.Dir(), t.link.Private(), t.base())
	if before != nil {
		for _, c := range before.Owned() {
			t.pool.Own(c)
		}
	}
	return nil
}

// foreignFiles is the files of the pool's numbers that a plan passes over.
func (t *target) foreignFiles() (names []string) {
	p := t.pool
	if p == nil {
		p = pool.New(t.link.Dir(), t.link.Private(), t.base())
	}
	foreign := (*pool.ForeignError)(nil)
	for _, n := range t.numbers() {
		if errors.As(p.Check([]int{n}), &foreign) {
			names = append(names, t.link.Dir().Join(foreign.Name))
		}
	}
	return names
}
