package pool

import (
	"context"

	"relinkd/fsys"
)

// Adopt takes over, after a restart, those of the copies numbers that equal src, and returns them.
// The content of a copy that is still exactly what the manifest m says of this generation is not
// read again; any other is compared whole. Rest is the others: missing, different, or no copy at all but src itself
// or another copy under a further name. Of these the ones that m says relinkd has made are owned
// nevertheless, and so may be replaced; and so are those that somebody has made of src or of a copy: a further
// name of it, or a file that differs in its time alone. Nothing is lost with them.
func (p *Pool) Adopt(ctx context.Context, src *Source, numbers []int, m *Manifest) (adopted []Copy, rest []int, err error) {
	taken := map[fsys.ID]bool{src.info.ID: true}
	for _, n := range numbers {
		c, equal, err := p.adopt(ctx, src, n, m)
		if err != nil {
			return adopted, rest, err
		}
		if !equal || taken[c.Info.ID] {
			if equal {
				p.Own(Copy{Number: n, Info: c.Info})
			}
			rest = append(rest, n)
			continue
		}
		taken[c.Info.ID] = true
		p.Own(c)
		adopted = append(adopted, c)
	}
	return adopted, rest, nil
}

// adopt looks at copy n. It is owned if m knows it; equal reports that it may be adopted as c.
func (p *Pool) adopt(ctx context.Context, src *Source, n int, m *Manifest) (c Copy, equal bool, err error) {
	info, err := p.dir.Lstat(p.copyName(n))
	if fsys.NotExist(err) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	if known, made := m.made(n, info.ID); made {
		// With what we knew of it: if it was written to since, whoever replaces it keeps it.
		p.Own(Copy{Number: n, Info: known})
	}
	same := info == m.Copies[n] && m.SHA256 == src.sha256
	info, d, err := p.compare(ctx, src, n, !same)
	if err != nil {
		return c, false, err
	}
	if (info.ID == src.info.ID && info.IsRegular() || d.time || d.links) && !p.made(n, info) {
		p.Own(Copy{Number: n, Info: info})
	}
	if d.text != "" {
		return c, false, nil
	}
	return Copy{Number: n, Info: info, SHA256: src.sha256}, true, nil
}
