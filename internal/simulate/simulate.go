// Package simulate plays traces of connections against the policy, in virtual time, to compare ways
// of rotating. It is for tests alone: it runs no process, touches no file and is no part of relinkd.
package simulate

import "relinkd/pool"

// Scheme is a way of rotating, over a pool of that many copies to begin with.
type Scheme struct {
	Name     string
	Copies   int
	Policy   pool.Policy
	Launcher bool // publish = "launcher"
}

// Result is how a scheme did on a trace, until the trace's end.
type Result struct {
	Highest   int  // processes on one copy, at any time; the packaged file is none
	Copies    int  // in the end
	Rotations int  // those to a grown copy included
	Retired   int  // workers that ended because of a rotation
	Started   int  // processes
	Saturated bool // at any time: all copies full, and no more allowed

	HighestWithRoom int // as Highest, until the pool was first saturated

	// Afterwards, when all connections have ended.
	Served int // connections
	Left   int // counts of a copy's processes, the daemon's included, that are not back at zero
}

// Run plays t with s. The same seed gives the same result.
func Run(t Trace, s Scheme, seed uint64) Result {
	var c clock
	var r Result
	mail := &service{clock: &c, launcher: s.Launcher, processes: map[int]int{}}
	d := newDaemon(&c, random(seed, "daemon"), s, func(to int) { mail.link = to })
	mail.told = d.tell

	var arrive func(rest []Connection)
	arrive = func(rest []Connection) {
		if len(rest) == 0 {
			return
		}
		c.at(rest[0].Start, func() {
			mail.connect(rest[0].Life)
			arrive(rest[1:])
		})
	}
	arrive(t.Connections)
	if t.Upgrade > 0 {
		c.at(t.Upgrade, func() { d.upgrade(s.Copies) })
	}
	if s.Policy.Rotation == pool.RotationInterval {
		d.tick(t.End)
	}
	c.at(t.End, func() {
		r.Highest, r.Copies, r.Rotations, r.Saturated = mail.highest, len(d.loads), d.rotations, d.saturated
		r.Started, r.Retired = mail.started, mail.retired
	})
	for c.next() {
		if !d.saturated {
			r.HighestWithRoom = mail.highest
		}
		if d.news && c.over() {
			d.act() // what is read at once is acted upon at once
		}
	}

	r.Served = mail.served
	for _, l := range d.loads {
		if l.Processes != 0 {
			r.Left++
		}
	}
	for _, n := range mail.processes {
		if n != 0 {
			r.Left++
		}
	}
	return r
}
