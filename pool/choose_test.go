package pool

import (
	"cmp"
	"math"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMark(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		threshold int
		rotateAt  float64
		v         View
		want      int
	}{
		{200, 0.9, View{}, 180},
		{200, 1, View{}, 200},
		{100, 0.29, View{}, 29}, // 0.29 × 100 is a little less in floating point
		{199, 0.9, View{}, 179}, // rounded down
		{200, 0.9, View{Latency: 100 * ms, Rate: 100}, 180},
		{200, 0.9, View{Latency: 300 * ms, Rate: 100}, 170},
		{200, 1, View{Latency: 11 * ms, Rate: 100}, 198}, // a tenth of a process counts as one
		{200, 0.9, View{Latency: 2 * time.Second, Rate: 100}, 1},
		{200, 0.9, View{Latency: time.Hour, Rate: math.MaxFloat64}, 1},
		{200, 0.001, View{}, 1},
		{1, 0.9, View{}, 1},
		{40, 0.9, View{Latency: ms, Rate: 2400}, 16}, // the floor
		{40, 0.9, View{Latency: ms, Rate: 200, Surge: 10}, 30},
		{40, 0.9, View{Latency: ms, Rate: 2400, Surge: 30}, 10},
		{40, 0.9, View{Latency: 20 * ms, Rate: 200, Surge: 10}, 28}, // what comes after the surge
		{200, 0.9, View{RateUnknown: true}, 175},
		{200, 0.9, View{RateUnknown: true, Rate: 5000}, 150},
		{40, 0.9, View{RateUnknown: true}, 20},
		{1, 0.9, View{RateUnknown: true}, 1},
	} {
		p := Policy{Threshold: tt.threshold, RotateAt: tt.rotateAt}
		if got := Mark(p, tt.v); got != tt.want {
			t.Errorf("Mark(%d × %g, %+v) = %d, want %d", tt.threshold, tt.rotateAt, tt.v, got, tt.want)
		}
	}
}

// loads numbers processes from 1 on.
func loads(processes ...int) []Load {
	all := make([]Load, len(processes))
	for i, n := range processes {
		all[i] = Load{Number: i + 1, Processes: n}
	}
	return all
}

func TestChoose(t *testing.T) {
	policy := Policy{Threshold: 200, RotateAt: 0.9, MaxCopies: 3, MinDwell: time.Minute, Rotation: RotationAdaptive}
	rotate := func(to int, why Reason, more Decision) Decision {
		more.Action, more.To, more.Reason, more.Mark, more.Holds = Rotate, to, why, cmp.Or(more.Mark, 180), true
		return more
	}
	late := func(v View) View { // so late that 100 may start unseen
		v.Latency, v.Rate = time.Second, 100
		return v
	}
	for _, tt := range []struct {
		name string
		p    func(*Policy)
		v    View
		want Decision
	}{
		{
			name: "under the mark",
			v:    View{Loads: loads(179, 0, 0), Current: 1},
			want: Decision{Mark: 180, Next: 180, Most: 200, Holds: true},
		}, {
			name: "at the mark, the least loaded",
			v:    View{Loads: loads(180, 7, 5), Current: 1},
			want: rotate(3, ReasonThreshold, Decision{}),
		}, {
			name: "a tie goes to the next number",
			v:    View{Loads: loads(5, 180, 5), Current: 2},
			want: rotate(3, ReasonThreshold, Decision{}),
		}, {
			name: "round to the first",
			v:    View{Loads: loads(5, 5, 180), Current: 3},
			want: rotate(1, ReasonThreshold, Decision{}),
		}, {
			name: "a copy that is gone is left at once",
			v:    View{Loads: loads(9, 5), Current: 3},
			want: rotate(2, ReasonThreshold, Decision{}),
		}, {
			name: "exactly a tenth of the mark is room enough",
			v:    View{Loads: loads(180, 162, 170), Current: 1},
			want: rotate(2, ReasonThreshold, Decision{}),
		}, {
			name: "a surge lowers the mark",
			v:    View{Loads: loads(170, 5, 5), Current: 1, Surge: 30},
			want: rotate(2, ReasonThreshold, Decision{Mark: 170, Unseen: 30}),
		}, {
			name: "less than a tenth: stay, and grow",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(180, 163, 170), Current: 1},
			want: Decision{Mark: 180, Next: 200, Most: 200, Holds: true, Grow: []int{4}},
		}, {
			name: "the last place is left: grow",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(179, 180, 180), Current: 1},
			want: Decision{Mark: 180, Next: 180, Most: 200, Holds: true, Grow: []int{4}},
		}, {
			name: "two places are left: grow later",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(178, 180, 180), Current: 1},
			want: Decision{Mark: 180, Next: 179, Most: 200, Holds: true},
		}, {
			name: "a few that came at once, while it is not known how fast: no reason to grow",
			p:    func(p *Policy) { p.MaxCopies = 9 },
			v:    View{Loads: loads(87, 0), Current: 1, Rate: 870, RateUnknown: true, GrowthTime: time.Second},
			want: Decision{Mark: 175, Unseen: 25, Next: 88, Most: 200, Holds: true},
		}, {
			name: "when a quarter is full it is one",
			p:    func(p *Policy) { p.MaxCopies = 9 },
			v:    View{Loads: loads(88, 0), Current: 1, Rate: 880, RateUnknown: true, GrowthTime: time.Second},
			want: Decision{Mark: 175, Unseen: 25, Next: 175, Most: 200, Holds: true, Grow: []int{3, 4, 5, 6, 7, 8, 9}},
		}, {
			name: "nothing runs: the first process asks again",
			p:    func(p *Policy) { p.MaxCopies = 9 },
			v:    View{Loads: loads(0, 0), Current: 1, Rate: 800, GrowthTime: time.Second},
			want: Decision{Mark: 180, Unseen: 8, Next: 1, Most: 200, Holds: true},
		}, {
			name: "as many places are left as are taken in twice the time that a copy takes: grow",
			p:    func(p *Policy) { p.MaxCopies = 9 },
			v:    View{Loads: loads(140, 180, 180), Current: 1, Rate: 800, GrowthTime: 25 * time.Millisecond},
			want: Decision{Mark: 180, Unseen: 8, Next: 180, Most: 200, Holds: true, Grow: []int{4}},
		}, {
			name: "more are taken in that time than one copy holds: several",
			p:    func(p *Policy) { p.MaxCopies = 9 },
			v:    View{Loads: loads(140, 180, 180), Current: 1, Rate: 800, GrowthTime: 250 * time.Millisecond},
			want: Decision{Mark: 180, Unseen: 8, Next: 180, Most: 200, Holds: true, Grow: []int{4, 5, 6, 7}},
		}, {
			name: "no more than there may be",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(140, 180, 180), Current: 1, Rate: 800, GrowthTime: time.Hour},
			want: Decision{Mark: 180, Unseen: 8, Next: 180, Most: 200, Holds: true, Grow: []int{4}},
		}, {
			name: "room for a surge",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(150, 180, 180), Current: 1, Surge: 20},
			want: Decision{Mark: 180, Unseen: 20, Next: 160, Most: 200, Holds: true},
		}, {
			name: "no room for a surge: grow",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(160, 180, 180), Current: 1, Surge: 20},
			want: Decision{Mark: 180, Unseen: 20, Next: 180, Most: 200, Holds: true, Grow: []int{4}},
		}, {
			name: "late news alone is no reason to grow: spread",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    late(View{Loads: loads(130, 110, 80), Current: 1}),
			want: rotate(3, ReasonThreshold, Decision{Mark: 100, Unseen: 100}),
		}, {
			name: "so late that nothing can be promised: spread",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(60, 40, 30), Current: 1, Latency: time.Second, Rate: 500},
			want: Decision{Action: Rotate, To: 3, Reason: ReasonThreshold, Mark: 1, Unseen: 500},
		}, {
			name: "late news and nothing to gain: stay",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(30, 40, 30), Current: 1, Latency: time.Second, Rate: 500},
			want: Decision{Mark: 1, Unseen: 500, Next: 31},
		}, {
			name: "late news and half full: grow",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    late(View{Loads: loads(100, 98, 99), Current: 1}),
			want: Decision{Action: Rotate, To: 2, Reason: ReasonSaturated, Mark: 100, Unseen: 100, Holds: true, Grow: []int{4}},
		}, {
			name: "grow into the gaps",
			p:    func(p *Policy) { p.MaxCopies = 9 },
			v:    View{Loads: []Load{{1, 180}, {3, 180}, {4, 180}}, Current: 1, Rate: 800, GrowthTime: 200 * time.Millisecond},
			want: Decision{Mark: 180, Unseen: 8, Next: 192, Most: 200, Holds: true, Grow: []int{2, 5, 6}},
		}, {
			name: "a single copy grows",
			v:    View{Loads: loads(180), Current: 1},
			want: Decision{Mark: 180, Holds: true, Grow: []int{2}},
		}, {
			name: "no growth now, but nothing is saturated",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(180, 179, 179), Current: 1, NoGrowth: true},
			want: Decision{Mark: 180, Next: 200, Most: 200, Holds: true},
		}, {
			name: "no growth now, and the threshold is near",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(200, 199, 198), Current: 1, NoGrowth: true},
			want: rotate(3, ReasonSaturated, Decision{}),
		}, {
			name: "a pool that cannot grow is saturated",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(180, 180, 180), Current: 1, NoGrowth: true, CannotGrow: true},
			want: Decision{Mark: 180, Saturated: true, Next: 200, Most: 200, Holds: true},
		}, {
			name: "a pool that cannot grow and need not is not",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(180, 18, 180), Current: 1, NoGrowth: true, CannotGrow: true},
			want: rotate(2, ReasonThreshold, Decision{}),
		}, {
			name: "saturated, nothing to gain",
			v:    View{Loads: loads(180, 180, 180), Current: 1, SinceRotation: time.Hour},
			want: Decision{Mark: 180, Saturated: true, Next: 200, Most: 200, Holds: true},
		}, {
			name: "saturated, 5 % lower and the dwell has passed",
			v:    View{Loads: loads(180, 175, 170), Current: 1, SinceRotation: time.Minute},
			want: rotate(3, ReasonSaturated, Decision{Saturated: true}),
		}, {
			name: "saturated, less than 5 % lower",
			v:    View{Loads: loads(180, 175, 171), Current: 1, SinceRotation: time.Hour},
			want: Decision{Mark: 180, Saturated: true, Next: 200, Most: 200, Holds: true},
		}, {
			name: "saturated, the dwell has not passed",
			v:    View{Loads: loads(185, 175, 175), Current: 1, SinceRotation: time.Minute - 1},
			want: Decision{Mark: 180, Saturated: true, Next: 200, Most: 200, Holds: true},
		}, {
			name: "saturated, but the threshold is near and one has room",
			v:    View{Loads: loads(200, 200, 199), Current: 1},
			want: rotate(3, ReasonSaturated, Decision{Saturated: true}),
		}, {
			name: "the threshold is nearer the later we know",
			v:    View{Loads: loads(195, 194, 195), Current: 1, Latency: 50 * time.Millisecond, Rate: 100},
			want: rotate(2, ReasonSaturated, Decision{Unseen: 5, Saturated: true, Holds: true}),
		}, {
			name: "all at the threshold",
			v:    View{Loads: loads(201, 200, 200), Current: 1},
			want: Decision{Mark: 180, Saturated: true},
		}, {
			name: "at the threshold, and so is all but the one with most room",
			v:    View{Loads: loads(199, 199, 200), Current: 1, Latency: 50 * time.Millisecond, Rate: 100},
			want: Decision{Mark: 180, Unseen: 5, Saturated: true, Next: 200},
		}, {
			name: "a single copy that may not grow",
			p:    func(p *Policy) { p.MaxCopies = 1 },
			v:    View{Loads: loads(500), Current: 1, SinceRotation: time.Hour},
			want: Decision{Mark: 180, Saturated: true},
		}, {
			name: "no copy at all",
			v:    View{},
			want: Decision{Mark: 180, Grow: []int{1}},
		}, {
			name: "interval: not yet",
			p:    func(p *Policy) { p.Rotation, p.Interval = RotationInterval, time.Minute },
			v:    View{Loads: loads(500, 0, 0), Current: 1, SinceRotation: time.Minute - 1},
		}, {
			name: "interval: the next number, loaded or not",
			p:    func(p *Policy) { p.Rotation, p.Interval = RotationInterval, time.Minute },
			v:    View{Loads: loads(0, 500, 0), Current: 1, SinceRotation: time.Minute},
			want: Decision{Action: Rotate, To: 2, Reason: ReasonInterval},
		}, {
			name: "interval: round to the first",
			p:    func(p *Policy) { p.Rotation, p.Interval = RotationInterval, time.Minute },
			v:    View{Loads: loads(500, 500, 500), Current: 3, SinceRotation: time.Hour},
			want: Decision{Action: Rotate, To: 1, Reason: ReasonInterval},
		}, {
			name: "interval: a single copy stays and does not grow",
			p:    func(p *Policy) { p.Rotation, p.Interval = RotationInterval, time.Minute },
			v:    View{Loads: loads(500), Current: 1, SinceRotation: time.Hour},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policy
			if tt.p != nil {
				tt.p(&p)
			}
			if diff := gocmp.Diff(tt.want, Choose(p, tt.v)); diff != "" {
				t.Errorf("Choose(%+v, %+v) (-want +got):\n%s", p, tt.v, diff)
			}
		})
	}
}

func TestLeast(t *testing.T) {
	for _, tt := range []struct {
		loads   []Load
		current int
		want    int
	}{
		{nil, 0, 0},
		{loads(0), 1, 0},
		{loads(5), 0, 1},
		{loads(0, 5, 4), 1, 3},
		{loads(4, 0, 4), 2, 3},
		{loads(4, 4, 0), 3, 1},
	} {
		if got, found := Least(tt.loads, tt.current); got != tt.want || found != (tt.want != 0) {
			t.Errorf("Least(%v, %d) = %d, %v, want %d", tt.loads, tt.current, got, found, tt.want)
		}
	}
}

func drawPolicy(t *rapid.T) Policy {
	return Policy{
		Threshold: rapid.IntRange(1, 300).Draw(t, "threshold"),
		RotateAt:  rapid.Float64Range(0.01, 1).Draw(t, "rotate at"),
		MaxCopies: rapid.IntRange(1, 12).Draw(t, "max copies"),
		MinDwell:  time.Duration(rapid.IntRange(0, 1000).Draw(t, "min dwell")) * time.Millisecond,
		Rotation:  RotationAdaptive,
		Interval:  time.Minute,
	}
}

func drawView(t *rapid.T, p Policy) View {
	numbers := rapid.SliceOfNDistinct(rapid.IntRange(1, 15), 1, 12, rapid.ID[int]).Draw(t, "numbers")
	byNumber := map[int]bool{}
	for _, n := range numbers {
		byNumber[n] = true
	}
	v := View{
		Latency:       time.Duration(rapid.IntRange(0, 20_000).Draw(t, "latency")) * time.Microsecond,
		Rate:          rapid.Float64Range(0, 5000).Draw(t, "rate"),
		SinceRotation: time.Duration(rapid.IntRange(0, 2000).Draw(t, "since rotation")) * time.Millisecond,
		Surge:         rapid.IntRange(0, 40).Draw(t, "surge"),
		RateUnknown:   rapid.Bool().Draw(t, "rate unknown"),
		GrowthTime:    time.Duration(rapid.IntRange(0, 1000).Draw(t, "growth time")) * time.Millisecond,
		NoGrowth:      rapid.Bool().Draw(t, "no growth"),
		CannotGrow:    rapid.Bool().Draw(t, "cannot grow"),
	}
	for n := 1; n <= 15; n++ {
		if byNumber[n] {
			v.Loads = append(v.Loads, Load{n, rapid.IntRange(0, p.Threshold+20).Draw(t, "processes")})
		}
	}
	v.Current = rapid.SampledFrom(v.Loads).Draw(t, "current").Number
	return v
}

func processes(v View, number int) int {
	for _, l := range v.Loads {
		if l.Number == number {
			return l.Processes
		}
	}
	return -1
}

func TestChooseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		v := drawView(t, p)
		d := Choose(p, v)
		current, least, room := processes(v, v.Current), 1<<20, false
		for _, l := range v.Loads {
			if l.Number != v.Current {
				least = min(least, l.Processes)
				room = room || l.Processes < p.Threshold
			}
		}
		if d.Mark < 1 || d.Mark > p.Threshold {
			t.Fatalf("mark %d of threshold %d", d.Mark, p.Threshold)
		}
		if current < d.Mark && d.Action != Stay {
			t.Fatalf("under the mark, but %+v", d)
		}
		if current >= p.Threshold && room && d.Action == Stay {
			t.Fatalf("stays on a full copy while another has room: %+v", d)
		}
		if d.Action == Stay && room && (d.Next <= current || d.Next > max(p.Threshold, current+1)) {
			t.Fatalf("stays with %d processes and another has room, to be asked at %d: %+v", current, d.Next, d)
		}
		// When more have started just now than was foreseen, that is the time to ask and no other.
		if surge := v.Surge + 1; d.Most > 0 && surge > d.Unseen {
			more := v
			more.Surge, more.RateUnknown = surge, false
			asked := current+surge >= d.Most
			if again := choose(p, more); again.Action == Rotate && !asked && current < again.Mark {
				t.Fatalf("a surge of %d is not asked about: %+v, then %+v", surge, d, again)
			} else if limit(p, more) <= current && !asked {
				t.Fatalf("with a surge of %d the %d processes are too many, but nobody asks: %+v", surge, current, d)
			}
		}
		if n := len(d.Grow); n > 0 {
			if n > p.MaxCopies-len(v.Loads) || v.NoGrowth {
				t.Fatalf("grows though it may not: %+v", d)
			}
			for i, to := range d.Grow {
				if processes(v, to) != -1 || to < 1 || to > len(v.Loads)+n || i > 0 && to <= d.Grow[i-1] {
					t.Fatalf("grows to %v", d.Grow)
				}
			}
		}
		if d.Saturated && !v.CannotGrow && len(v.Loads) < p.MaxCopies {
			t.Fatalf("saturated though it may grow: %+v", d)
		}
		switch d.Action {
		case Stay:
			if d.To != 0 || d.Reason != "" {
				t.Fatalf("stays, but %+v", d)
			}
		case Rotate:
			to := processes(v, d.To)
			if d.To == v.Current || to != least {
				t.Fatalf("rotates to %d with %d processes, the least is %d", d.To, to, least)
			}
			for n := v.Current%15 + 1; n != d.To; n = n%15 + 1 {
				if processes(v, n) == to {
					t.Fatalf("a tie: rotates to %d, %d comes before in turn", d.To, n)
				}
			}
			if to >= p.Threshold && room {
				t.Fatalf("rotates to a full copy while another has room: %+v", d)
			}
			v.Current, v.SinceRotation = d.To, 0
			if again := Choose(p, v); again.Action == Rotate {
				t.Fatalf("flaps: %+v, then %+v", d, again)
			}
		}
	})
}

// TestThresholdHolds lets processes come and go, each decision being taken when latency × rate more
// have started than it knows of, and sees that no copy passes the threshold while another has room.
func TestThresholdHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		unseen := rapid.IntRange(0, max(0, p.Threshold/4-1)).Draw(t, "unseen")
		v := View{
			Loads:    loads(make([]int, rapid.IntRange(2, 6).Draw(t, "copies"))...),
			Current:  1,
			Surge:    unseen,
			NoGrowth: true,
		}
		for range rapid.IntRange(1, 500).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "exit") == 0 {
				if l := &v.Loads[rapid.IntRange(0, len(v.Loads)-1).Draw(t, "of")]; l.Processes > 0 {
					l.Processes--
				}
			}
			// All copies but the current one must have room for what starts unseen, else no
			// policy can hold the threshold.
			room := false
			for _, l := range v.Loads {
				room = room || l.Processes+unseen < p.Threshold
			}
			d := Choose(p, v)
			if d.Action == Rotate {
				v.Current = d.To
			}
			l := &v.Loads[v.Current-1]
			if holds := l.Processes+unseen <= p.Threshold; holds != d.Holds {
				t.Fatalf("%d processes and %d unseen, the threshold is %d: %+v", l.Processes, unseen, p.Threshold, d)
			}
			l.Processes += rapid.IntRange(0, max(1, unseen)).Draw(t, "started")
			if (room || d.Holds && unseen > 0) && l.Processes > p.Threshold {
				t.Fatalf("copy %d has %d processes, the threshold is %d: %+v", l.Number, l.Processes, p.Threshold, v)
			}
		}
	})
}

// TestIntervalVisitsAll sees that the clock alone leads through all copies in turn.
func TestIntervalVisitsAll(t *testing.T) {
	p := Policy{Threshold: 1, RotateAt: 1, MaxCopies: 99, Rotation: RotationInterval, Interval: time.Minute}
	v := View{Loads: []Load{{2, 9}, {3, 9}, {7, 0}}, SinceRotation: time.Minute}
	var visited []int
	for range 5 {
		v.Current = Choose(p, v).To
		visited = append(visited, v.Current)
	}
	if diff := gocmp.Diff([]int{2, 3, 7, 2, 3}, visited); diff != "" {
		t.Errorf("copies in turn (-want +got):\n%s", diff)
	}
}

// TestRoomInTime lets processes start at a rate that is known, and copies take as long as they ever did, and
// sees that no process is without a place while there may be more copies.
func TestRoomInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tick = time.Millisecond
		p := Policy{Threshold: rapid.IntRange(20, 300).Draw(t, "threshold"), RotateAt: 0.9, MaxCopies: 900, Rotation: RotationAdaptive}
		takes := rapid.IntRange(1, 60).Draw(t, "growth")
		perTick := rapid.IntRange(0, 2).Draw(t, "starts a tick")
		v := View{
			Loads:      loads(make([]int, rapid.IntRange(1, 4).Draw(t, "copies"))...),
			Current:    1,
			Rate:       1000 * float64(perTick),
			Surge:      10 * perTick,
			GrowthTime: time.Duration(takes) * tick,
		}
		// A pool that begins too small for that is not meant.
		if len(v.Loads)*p.share() <= 2*perTick*takes+v.Surge || v.Surge > p.Threshold-p.share() {
			return
		}
		var growing []int
		ready, next := 0, 0
		for now := range 600 {
			if len(growing) > 0 && now >= ready {
				for _, n := range growing {
					v.Loads = append(v.Loads, Load{Number: n})
				}
				growing, v.NoGrowth, next = nil, false, 0
			}
			if v.Loads[v.Current-1].Processes < next { // nobody asks sooner
				v.Loads[v.Current-1].Processes += perTick
				continue
			}
			d := Choose(p, v)
			if d.Action == Rotate {
				v.Current = d.To
			}
			if !d.Holds || d.Reason == ReasonSaturated {
				t.Fatalf("after %d ms: %+v of %+v", now, d, v)
			}
			if len(d.Grow) > 0 {
				growing, ready, v.NoGrowth = d.Grow, now+takes, true
			}
			next = Choose(p, v).Next
			v.Loads[v.Current-1].Processes += perTick
		}
	})
}
