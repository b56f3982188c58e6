package pool

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMark(t *testing.T) {
	for _, tt := range []struct {
		threshold int
		rotateAt  float64
		latency   time.Duration
		rate      float64
		want      int
	}{
		{200, 0.9, 0, 0, 180},
		{200, 1, 0, 0, 200},
		{100, 0.29, 0, 0, 29}, // 0.29 × 100 is a little less in floating point
		{199, 0.9, 0, 0, 179}, // rounded down
		{200, 0.9, 100 * time.Millisecond, 100, 180},
		{200, 0.9, 300 * time.Millisecond, 100, 170},
		{200, 1, time.Millisecond, 100, 199}, // a tenth of a process counts as one
		{200, 0.9, 2 * time.Second, 100, 1},
		{200, 0.9, time.Hour, math.MaxFloat64, 1},
		{200, 0.001, 0, 0, 1},
		{1, 0.9, 0, 0, 1},
	} {
		p := Policy{Threshold: tt.threshold, RotateAt: tt.rotateAt}
		if got := Mark(p, tt.latency, tt.rate); got != tt.want {
			t.Errorf("Mark(%d × %g, %v × %g) = %d, want %d", tt.threshold, tt.rotateAt, tt.latency, tt.rate, got, tt.want)
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
	for _, tt := range []struct {
		name string
		p    func(*Policy)
		v    View
		want Decision
	}{
		{
			name: "under the mark",
			v:    View{Loads: loads(179, 0, 0), Current: 1},
			want: Decision{Mark: 180, Next: 180},
		}, {
			name: "at the mark, the least loaded",
			v:    View{Loads: loads(180, 7, 5), Current: 1},
			want: Decision{Action: Rotate, To: 3, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "a tie goes to the next number",
			v:    View{Loads: loads(5, 180, 5), Current: 2},
			want: Decision{Action: Rotate, To: 3, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "round to the first",
			v:    View{Loads: loads(5, 5, 180), Current: 3},
			want: Decision{Action: Rotate, To: 1, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "a copy that is gone is left at once",
			v:    View{Loads: loads(9, 5), Current: 3},
			want: Decision{Action: Rotate, To: 2, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "exactly a tenth of the mark is room enough",
			v:    View{Loads: loads(180, 162, 170), Current: 1},
			want: Decision{Action: Rotate, To: 2, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "less than a tenth: grow",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(180, 163, 170), Current: 1},
			want: Decision{Action: Grow, To: 4, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "late news alone is no reason to grow: spread",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(60, 40, 30), Current: 1, Latency: time.Second, Rate: 500},
			want: Decision{Action: Rotate, To: 3, Reason: ReasonThreshold, Mark: 1},
		}, {
			name: "late news and nothing to gain: stay",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(30, 40, 30), Current: 1, Latency: time.Second, Rate: 500},
			want: Decision{Mark: 1, Next: 31},
		}, {
			name: "late news and half full: grow",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(100, 90, 95), Current: 1, Latency: time.Second, Rate: 500},
			want: Decision{Action: Grow, To: 4, Reason: ReasonThreshold, Mark: 1},
		}, {
			name: "grow into the gap",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: []Load{{1, 180}, {3, 180}}, Current: 1},
			want: Decision{Action: Grow, To: 2, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "a single copy grows",
			v:    View{Loads: loads(180), Current: 1},
			want: Decision{Action: Grow, To: 2, Reason: ReasonThreshold, Mark: 180},
		}, {
			name: "no growth now, but nothing is saturated",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(180, 179, 179), Current: 1, NoGrowth: true},
			want: Decision{Mark: 180, Next: 200},
		}, {
			name: "no growth now, and the threshold is near",
			p:    func(p *Policy) { p.MaxCopies = 4 },
			v:    View{Loads: loads(200, 199, 198), Current: 1, NoGrowth: true},
			want: Decision{Action: Rotate, To: 3, Reason: ReasonSaturated, Mark: 180},
		}, {
			name: "saturated, nothing to gain",
			v:    View{Loads: loads(180, 180, 180), Current: 1, SinceRotation: time.Hour},
			want: Decision{Mark: 180, Saturated: true, Next: 200},
		}, {
			name: "saturated, 5 % lower and the dwell has passed",
			v:    View{Loads: loads(180, 175, 170), Current: 1, SinceRotation: time.Minute},
			want: Decision{Action: Rotate, To: 3, Reason: ReasonSaturated, Mark: 180, Saturated: true},
		}, {
			name: "saturated, less than 5 % lower",
			v:    View{Loads: loads(180, 175, 171), Current: 1, SinceRotation: time.Hour},
			want: Decision{Mark: 180, Saturated: true, Next: 200},
		}, {
			name: "saturated, the dwell has not passed",
			v:    View{Loads: loads(185, 175, 175), Current: 1, SinceRotation: time.Minute - 1},
			want: Decision{Mark: 180, Saturated: true, Next: 200},
		}, {
			name: "saturated, but the threshold is near and one has room",
			v:    View{Loads: loads(200, 200, 199), Current: 1},
			want: Decision{Action: Rotate, To: 3, Reason: ReasonSaturated, Mark: 180, Saturated: true},
		}, {
			name: "the threshold is nearer the later we know",
			v:    View{Loads: loads(195, 194, 195), Current: 1, Latency: 50 * time.Millisecond, Rate: 100},
			want: Decision{Action: Rotate, To: 2, Reason: ReasonSaturated, Mark: 180, Saturated: true},
		}, {
			name: "all at the threshold",
			v:    View{Loads: loads(201, 200, 200), Current: 1},
			want: Decision{Mark: 180, Saturated: true},
		}, {
			name: "at the threshold, and so is all but the one with most room",
			v:    View{Loads: loads(199, 199, 200), Current: 1, Latency: 50 * time.Millisecond, Rate: 100},
			want: Decision{Mark: 180, Saturated: true, Next: 200},
		}, {
			name: "a single copy that may not grow",
			p:    func(p *Policy) { p.MaxCopies = 1 },
			v:    View{Loads: loads(500), Current: 1, SinceRotation: time.Hour},
			want: Decision{Mark: 180, Saturated: true},
		}, {
			name: "no copy at all",
			v:    View{},
			want: Decision{Action: Grow, To: 1, Reason: ReasonThreshold, Mark: 180},
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
			if diff := cmp.Diff(tt.want, Choose(p, tt.v)); diff != "" {
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
		NoGrowth:      rapid.Bool().Draw(t, "no growth"),
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
		switch d.Action {
		case Stay:
			if d.To != 0 || d.Reason != "" {
				t.Fatalf("stays, but %+v", d)
			}
		case Grow:
			if len(v.Loads) >= p.MaxCopies || v.NoGrowth {
				t.Fatalf("grows though it may not: %+v", d)
			}
			if processes(v, d.To) != -1 || d.To < 1 || d.To > len(v.Loads)+1 {
				t.Fatalf("grows to %d", d.To)
			}
			if len(v.Loads) > 1 && 2*least < int(p.RotateAt*float64(p.Threshold)) {
				t.Fatalf("grows though a copy has %d processes of a threshold of %d", least, p.Threshold)
			}
			if 10*(d.Mark-least) >= d.Mark {
				t.Fatalf("grows though a copy has %d processes and the mark is %d", least, d.Mark)
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
			Latency:  time.Millisecond,
			Rate:     1000 * float64(unseen),
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
			if d := Choose(p, v); d.Action == Rotate {
				v.Current = d.To
			}
			l := &v.Loads[v.Current-1]
			l.Processes += rapid.IntRange(0, max(1, unseen)).Draw(t, "started")
			if room && l.Processes > p.Threshold {
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
	if diff := cmp.Diff([]int{2, 3, 7, 2, 3}, visited); diff != "" {
		t.Errorf("copies in turn (-want +got):\n%s", diff)
	}
}
