package watch

import (
	"fmt"
	"os"
	"testing"

	"relinkd/api"
	"relinkd/config"
	"relinkd/internal/standin"
)

// imapdSize is the size of Debian 12's imapd, bytes.
const imapdSize = 360224

// benchSite has a daemon at rest with 60 copies of a file of that size.
func benchSite(b *testing.B, publish config.Publish) (*site, *daemon) {
	b.Helper()
	s := newSite(b, func(c *config.Target) { c.Copies, c.MaxCopies, c.Publish = 60, 60, publish })
	s.installHeavy("0")
	d := s.start()
	d.waitFor("steady", func(st api.TargetStatus) bool { return st.State == api.Steady })
	return s, d
}

// installHeavy is install of a version that weighs something.
func (s *site) installHeavy(version string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.path+".dpkg-new", standin.ELFSize(version, imapdSize), 0o755))
	must(s.t, os.Chmod(s.path+".dpkg-new", 0o755))
	must(s.t, os.Rename(s.path+".dpkg-new", s.path))
}

// From a source in place to all copies in force: DESIGN.md §11 allows 0.5 s.
func BenchmarkUpgrade(b *testing.B) {
	for _, publish := range []config.Publish{config.PublishSymlink, config.PublishNone} {
		b.Run(string(publish), func(b *testing.B) {
			s, d := benchSite(b, publish)
			i := 0
			for b.Loop() {
				before := d.target().Generation.SHA256
				i++
				s.installHeavy(fmt.Sprint("v", i))
				d.waitFor("the upgrade is in force", func(st api.TargetStatus) bool {
					return st.State == api.Steady && st.Generation.SHA256 != before
				})
			}
		})
	}
}

// What an event or a census costs when nothing is to be done.
func BenchmarkEnsureSteady(b *testing.B) {
	for _, publish := range []config.Publish{config.PublishSymlink, config.PublishNone} {
		b.Run(string(publish), func(b *testing.B) {
			_, d := benchSite(b, publish)
			l, err := d.find(name)
			must(b, err)
			must(b, l.do(b.Context(), l.gone, func() {
				b.ReportAllocs()
				for b.Loop() {
					l.ensure(b.Context())
					l.show()
				}
			}))
		})
	}
}

// A rotation as an operator asks for it, through the loop.
func BenchmarkRotate(b *testing.B) {
	_, d := benchSite(b, config.PublishSymlink)
	for b.Loop() {
		if _, err := d.Rotate(b.Context(), name, 0); err != nil {
			b.Fatal(err)
		}
	}
}
