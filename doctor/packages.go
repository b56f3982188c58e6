package doctor

import (
	"errors"
	"fmt"

	"relinkd/watch/pkgdb"
)

// packageFacts is what the package managers know of path.
type packageFacts struct {
	Path     string
	Dpkg     bool
	RPM      bool
	Owner    string // the dpkg package, "" for none
	Override string // the line of dpkg-statoverride for path, "" for none
	Diverted string // where dpkg installs it instead, "" for nowhere
	By       string // for which package; "" for an administrator
	Err      string // why that cannot be told
}

func (h Host) gatherPackages(path string) packageFacts {
	p := packageFacts{Path: path}
	p.Dpkg, p.RPM = pkgdb.HasDpkg(h.Dpkg), pkgdb.HasRPM(h.RPM)
	if !p.Dpkg {
		return p
	}
	var errs [3]error
	p.Owner, errs[0] = pkgdb.Owner(h.Dpkg, path)
	p.Diverted, p.By, errs[1] = pkgdb.Diverted(h.Dpkg, path)
	p.Override, errs[2] = pkgdb.Override(h.Dpkg, path)
	if err := errors.Join(errs[:]...); err != nil {
		p.Err = err.Error()
	}
	return p
}

func (p packageFacts) judge(target string) []Finding {
	f := &found{section: Packages, target: target}
	const why = "relinkd tells an upgrade from a removal by the package manager's database"
	switch {
	case p.Err != "":
		f.note("cannot tell which package owns "+p.Path+": "+p.Err, why, "")
	case p.Owner != "":
		f.fine("dpkg: "+p.Path+" belongs to "+p.Owner, why)
	case p.RPM:
		f.fine("rpm: `rpm -qf "+p.Path+"` tells the package", why)
	case p.Dpkg:
		f.note("dpkg: no package owns "+p.Path, why+"; when a file of no package is gone for good, relinkd puts the link back",
			"before you remove it for good: relinkd restore "+target)
	default:
		f.note("neither dpkg nor rpm is here", why+"; a file that is gone for good is taken for a mistake, and the link put back",
			"before you remove it for good: relinkd restore "+target)
	}
	if p.Override != "" {
		f.fine(fmt.Sprintf("dpkg-statoverride gives %s %s; copies get the same", p.Path, p.Override), "dpkg sets it at every upgrade, and relinkd copies what it finds")
	}
	if p.Diverted != "" {
		by := "by the administrator"
		if p.By != "" {
			by = "for " + p.By
		}
		f.needs(fmt.Sprintf("dpkg-divert: %s is diverted to %s %s", p.Path, p.Diverted, by),
			"upgrades go to the other name: what path leads to stays as old as it is",
			fmt.Sprintf("set path = %q, or end it: dpkg-divert --remove %s", p.Diverted, p.Path))
	}
	return f.all
}
