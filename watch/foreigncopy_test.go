package watch

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/standin"
)

// Restore names each file of a copy's name that it leaves, whoever has put it there and whenever.
func TestRestoreNamesWhatItLeaves(t *testing.T) {
	s := newSite(t)
	s.install("1")
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	must(t, standin.Write(s.copy(2), "other"))
	must(t, standin.Write(s.copy(7), "other"))
	d.waitFor("a look at copy 2", func(st api.TargetStatus) bool { return strings.Contains(st.Reason, "imapd_002") })
	must(t, standin.Write(s.private(name+".generation-0"), "other"))
	r, err := d.Restore(context.Background(), name, false)
	must(t, err)
	s.holds(s.copy(7), "other")
	for _, left := range []int{2, 7} {
		if lstat(t, s.copy(left)).Ino != 0 && !strings.Contains(strings.Join(r.Warnings, "\n"), s.copy(left)) {
			t.Errorf("copy %d is left without a word: %q", left, r.Warnings)
		}
	}
	if !strings.Contains(strings.Join(r.Warnings, "\n"), s.private(name+".generation-0")) {
		t.Errorf("what others have put into the private directory is left without a word: %q", r.Warnings)
	}

	// And what is not even named after the executable.
	for _, path := range []string{s.private(name + ".generation-0"), s.copy(2), s.copy(7)} {
		must(t, os.RemoveAll(path))
	}
	_, err = d.Manage(context.Background(), name)
	must(t, err)
	must(t, standin.Write(s.private("notes"), "other"))
	r, err = d.Restore(context.Background(), name, false)
	must(t, err)
	if !strings.Contains(strings.Join(r.Warnings, "\n"), "what is in "+filepath.Dir(s.privateLink())) {
		t.Errorf("the private directory is left without a word: %q", r.Warnings)
	}
}

// An adoption that is in force has not failed, though something else is wrong with the target: a launcher that
// cannot be renewed, or a directory that others cannot walk.
func TestAdoptIsTold(t *testing.T) {
	for _, publish := range waysOurs {
		t.Run(string(publish), func(t *testing.T) {
			s := newSite(t, func(t *config.Target) { t.Publish = publish })
			s.install("1")
			d := s.start()
			d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
			must(t, os.Chmod(s.dir, 0o700))
			d.waitFor("degraded", func(st api.TargetStatus) bool { return st.State == api.Degraded })
			r, err := d.Adopt(context.Background(), name, s.file("2"))
			if err != nil || len(r.Warnings) == 0 {
				t.Fatalf("adopt: %v, %+v", err, r)
			}
			s.holds(s.pristine(), "2")
		})
	}
}
