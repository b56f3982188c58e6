package simulate

import (
	"container/heap"
	"time"
)

// clock is virtual time, and what is to happen in it. Things of one instant happen in the order in
// which they were asked for.
type clock struct {
	now   time.Duration
	asked uint64
	todo  todo
}

// at has do called at an instant that is not past.
func (c *clock) at(when time.Duration, do func()) {
	c.asked++
	heap.Push(&c.todo, event{when, c.asked, do})
}

// after has do called d from now.
func (c *clock) after(d time.Duration, do func()) { c.at(c.now+d, do) }

// next moves on to what happens next, and makes it happen; false when nothing is left.
func (c *clock) next() bool {
	if len(c.todo) == 0 {
		return false
	}
	e := heap.Pop(&c.todo).(event)
	c.now = e.at
	e.do()
	return true
}

// over reports whether nothing more happens in this instant.
func (c *clock) over() bool { return len(c.todo) == 0 || c.todo[0].at > c.now }

type event struct {
	at    time.Duration
	asked uint64
	do    func()
}

// todo is a heap.
type todo []event

func (t todo) Len() int      { return len(t) }
func (t todo) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t todo) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].asked < t[j].asked
}
func (t *todo) Push(e any) { *t = append(*t, e.(event)) }
func (t *todo) Pop() any {
	last := len(*t) - 1
	e := (*t)[last]
	(*t)[last] = event{}
	*t = (*t)[:last]
	return e
}
