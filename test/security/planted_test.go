package security_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"relinkd/api"
	"relinkd/internal/faults"
	"relinkd/internal/standin"
)

// names is what relinkd uses of a place.
func (s *site) names(place string) []string {
	in := map[string][]string{
		"bin":   {".relinkd", "imapd_001", "imapd_002", "imapd_003", "imapd.new"},
		"state": {"lock", "imapd.json", "imapd.json.new", "imapd.released", "imapd.restart"},
		"run":   {"sock", "sock.new"},
		"etc":   {"relinkd.toml"},
	}[place]
	var paths []string
	for _, name := range in {
		paths = append(paths, filepath.Join(s.places[place], name))
	}
	return paths
}

// privateNames is what relinkd uses of its private directory.
func (s *site) privateNames() []string {
	paths := []string{s.private() + "/imapd"}
	for _, suffix := range []string{"pristine", "previous", "publish", "rotate", "aside", "out", "back", "before", "adopt", "launcher"} {
		paths = append(paths, s.private()+"/imapd."+suffix)
	}
	for _, suffix := range []string{"new", "drifted"} {
		paths = append(paths, s.private()+"/imapd_001."+suffix, s.private()+"/imapd_002."+suffix)
	}
	return paths
}

// makePlaces makes the directories that relinkd would make itself.
func (s *site) makePlaces() {
	for _, place := range []string{"state", "run"} {
		must(s.t, os.Mkdir(s.places[place], 0o755))
		must(s.t, os.Chmod(s.places[place], 0o755))
	}
}

// A place in which, or above which, somebody else can put things is not used: nothing in it is
// touched, nor what it leads to.
func TestPlaceOfAStranger(t *testing.T) {
	needsRoot(t)
	relinkd(t)
	// move puts a place below another directory, whose owner and mode it then changes.
	move := func(s *site, place string) (above string) {
		above = filepath.Join(s.root, "above")
		must(s.t, os.Mkdir(above, 0o755))
		must(s.t, os.Rename(s.places[place], filepath.Join(above, place)))
		s.places[place] = filepath.Join(above, place)
		return above
	}
	for _, way := range []struct {
		name string
		make func(s *site, place string)
		want string // what relinkd says
	}{
		{"theirs", func(s *site, place string) { must(s.t, os.Chown(s.places[place], stranger, 0)) }, "belongs to uid 65534"},
		{"of their group", func(s *site, place string) {
			must(s.t, os.Chown(s.places[place], 0, stranger))
			must(s.t, os.Chmod(s.places[place], 0o775))
		}, "can be written by others than its owner (mode 0775)"},
		{"everybody's", func(s *site, place string) { must(s.t, os.Chmod(s.places[place], 0o777)) }, "can be written by others than its owner (mode 0777)"},
		{"everybody's, sticky", func(s *site, place string) { must(s.t, os.Chmod(s.places[place], 0o777|os.ModeSticky)) },
			"can be written by others than its owner (mode 1777)"},
		{"below one of theirs", func(s *site, place string) { must(s.t, os.Chown(move(s, place), stranger, 0)) }, "above belongs to uid 65534"},
		{"behind a link of theirs", func(s *site, place string) {
			real := s.places[place]
			above := move(s, place)
			must(s.t, os.Rename(s.places[place], real))
			must(s.t, os.Symlink(real, s.places[place]))
			must(s.t, os.Lchown(s.places[place], stranger, stranger))
			must(s.t, os.Chmod(above, 0o777|os.ModeSticky))
		}, "in a directory that others can write to (mode 1777), belongs to uid 65534"},
	} {
		for _, place := range []string{"bin", "state", "run", "etc"} {
			if place == "etc" && strings.HasSuffix(way.name, "sticky") {
				continue // nobody else can replace our file there
			}
			t.Run(place+" "+way.name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				s.makePlaces()
				way.make(s, place)
				if place == "etc" {
					s.configure()
				}
				// Only some of the ways let the stranger in; the checks are the same.
				asStranger(t, "plant", append([]string{linkToFile, s.canary}, s.names(place)[1:]...)...).Run()
				asStranger(t, "plant", append([]string{linkToDir, s.canary}, s.names(place)[:1]...)...).Run()
				if place != "etc" {
					s.configure()
				}
				without := []string{}
				for _, good := range []string{"state", "run"} {
					if good != place {
						without = append(without, s.places[good])
					}
				}
				before := tree(t, s.root, without...)
				d := s.start()
				if place != "bin" {
					d.refused(way.want)
				} else if st := d.settled(); st.State != api.Degraded || !strings.Contains(st.Reason, way.want) {
					t.Errorf("state %s, %q, want degraded, %q", st.State, st.Reason, way.want)
				}
				for _, verb := range [][]string{{"plan"}, {"manage", "imapd", "--yes"}, {"adopt", "imapd", s.canary + "/exe"}, {"reclone", "imapd"}, {"restore", "imapd"}} {
					if out, err := s.verb(verb...); err == nil && !(place == "run" && verb[0] != "adopt") {
						t.Errorf("relinkd %s does as it is told: %s", verb[0], out)
					} else if place == "run" {
						break // without a daemon the verbs need no socket
					}
				}
				d.stop()
				unchanged(t, "something was touched", before, tree(t, s.root, without...))
			})
		}
	}
	t.Cleanup(func() {
		faults.Record(t, faults.Row{What: "any", Injected: "install, state, socket or configuration directory that the cyrus user can write to or replace, with planted links",
			Times: 23, Survived: "nothing is written, the reason is told"})
	})
}

// Names that were planted while a place was open to others, and stay when it is closed, lead relinkd
// nowhere: through its whole life nothing but its own places is changed.
func TestPlantedNames(t *testing.T) {
	relinkd(t)
	kinds := []string{linkToFile, linkToDir, linkToNone, hardLinkFile, hardLinkExe}
	if os.Getenv("LONG_TESTS") != "" {
		kinds = append(kinds, linkToExe, ownFile, ownExe, aFifo, aDirectory, aSocket)
	}
	for _, where := range []struct {
		name  string
		names func(s *site) []string
		state api.State // after an upgrade; "" where relinkd must not even start
	}{
		{"copies", func(s *site) []string { return s.names("bin")[1:] }, api.Steady}, // passed over,
		{"private directory", func(s *site) []string { return s.names("bin")[:1] }, api.Degraded},
		{"private link", func(s *site) []string { return s.privateNames()[:1] }, api.Degraded},
		{"private names", func(s *site) []string { return s.privateNames()[1:] }, api.Steady},
		{"path", func(s *site) []string {
			must(s.t, os.Remove(s.path()))
			return []string{s.path()}
		}, api.Steady},
		{"lock", func(s *site) []string { return s.names("state")[:1] }, ""},
		{"state", func(s *site) []string { return []string{s.names("state")[1], s.names("state")[2], s.names("state")[4]} }, api.Steady},
		{"released", func(s *site) []string { return s.names("state")[3:4] }, api.Released},
		{"socket", func(s *site) []string { return s.names("run") }, ""},
	} {
		for i, kind := range kinds {
			publish := []string{"symlink", "launcher"}[i%2]
			if where.state == api.Steady && i < 2 {
				publish = "launcher" // where relinkd has the names of one planted in its way
			}
			t.Run(where.name+" "+kind, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				s.extra = fmt.Sprintf("publish = %q", publish)
				s.makePlaces()
				s.configure()
				names := where.names(s)
				if filepath.Dir(names[0]) == s.private() {
					must(t, os.Mkdir(s.private(), 0o755))
					must(t, os.Chmod(s.private(), 0o755))
				}
				must(t, plant(kind, s.canary, names))
				mine := []string{s.places["bin"], s.places["state"], s.places["run"]}
				before := tree(t, s.root, mine...)
				d := s.start()
				state := where.state
				switch where.name + " " + kind { // made by root, some are as good as relinkd's own
				case "lock " + ownFile, "lock " + ownExe, "socket " + aSocket, "private directory " + aDirectory,
					"private link " + linkToFile, "private link " + linkToDir, "private link " + linkToNone, "private link " + linkToExe:
					state = api.Steady
				case "private link " + hardLinkFile, "private link " + hardLinkExe: // whose file has another name, and loses this one
					state = api.Steady
				case "private names " + aDirectory, "state " + aDirectory:
					state = api.Degraded
				case "path " + aDirectory:
					t.Skip("left out: no package manager puts a file in its place")
				}
				if state == "" {
					d.refused(names[0])
				} else {
					s.live(d, state)
				}
				d.stop()
				unchanged(t, "something that is not relinkd's was touched", before, tree(t, s.root, mine...))
			})
		}
	}
	t.Cleanup(func() {
		faults.Record(t, faults.Row{What: "publish, upgrade, rotate, adopt, reclone, restore", Injected: "links, further names and other files planted at every name that relinkd uses",
			Times: 45, Survived: "nothing but the install and the state directory is written"})
	})
}

// live has a daemon do all that it can do, well or badly; it is in that state after an upgrade.
func (s *site) live(d *daemon, state api.State) {
	d.settled()
	must(s.t, standin.Write(s.path(), "2"))
	d.in(state)
	for _, verb := range [][]string{{"rotate", "imapd"}, {"manage", "imapd", "--yes"}, {"reclone", "imapd"}, {"verify"}, {"adopt", "imapd", s.canary + "/exe"}} {
		s.verb(verb...)
		d.settled()
	}
	os.Chmod(s.path(), 0o711) // through the link, meant for all copies
	s.verb("reload")
	d.settled()
	s.verb("restore", "--all", "--force")
	d.settled()
	if d.hasEnded() {
		s.t.Error("the daemon has ended")
	}
	cmd := exec.Command(s.path()) // its input is /dev/null: it ends at once
	if err := cmd.Run(); err != nil {
		s.t.Errorf("in the end path does not execute: %v", err)
	}
}

// A stranger who tries to write to everything that relinkd has and makes, while it makes it, without
// pause, and without a umask that would help, does not manage to once.
func TestStrangerAtEveryName(t *testing.T) {
	needsRoot(t)
	for _, publish := range []string{"symlink", "launcher"} {
		t.Run(publish, func(t *testing.T) { strangerAtEveryName(t, publish) })
	}
}

func strangerAtEveryName(t *testing.T, publish string) {
	s := newSite(t)
	s.extra = fmt.Sprintf("rotation = \"interval\"\ninterval = \"10ms\"\npublish = %q", publish)
	s.configure()
	d := s.start()
	d.in(api.Steady)
	paths := slices.Concat(s.names("bin"), s.names("state"), s.names("run"), s.names("etc"), s.privateNames(),
		[]string{s.path(), s.places["bin"], s.places["state"], s.places["run"], s.places["etc"], s.private() + "/imapd_001.new"})
	cmd := asStranger(t, "molest", append([]string{s.canary}, paths...)...)
	in, err := cmd.StdinPipe()
	must(t, err)
	log := new(output)
	cmd.Stdout = log
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	if !within(deadline, func() bool { return strings.Contains(log.String(), "at work") }) {
		t.Fatalf("the stranger does not begin: %s", log.String())
	}
	const upgrades = 20
	for i := range upgrades {
		must(t, standin.Write(s.path(), fmt.Sprint("v", i)))
		d.in(api.Steady)
		if i == upgrades/2 {
			for _, verb := range [][]string{{"restore", "imapd"}, {"manage", "imapd", "--yes"}} {
				if out, err := s.verb(verb...); err != nil {
					t.Errorf("%s: %v: %s", verb, err, out)
				}
			}
		}
	}
	must(t, in.Close())
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the stranger ended (%v): %s", err, log.String())
	}
	said := strings.Split(strings.TrimSpace(log.String()), "\n")
	tries := 0
	if _, err := fmt.Sscanf(said[len(said)-1], "tries %d", &tries); err != nil || tries < 1000 {
		t.Errorf("the stranger said %q", said[len(said)-1])
	}
	for _, managed := range said[1 : len(said)-1] {
		t.Errorf("the stranger managed to %s", managed)
	}
	t.Logf("%d tries, %d rotations", tries, d.target().Rotations)
	faults.Record(t, faults.Row{What: "upgrade, rotate, restore, manage", Injected: "another user who tries to write to, replace or take every name",
		Times: 1000, Survived: "no try succeeds"})
}
