package pool

import (
	"context"

	"relinkd/fsys"
)

// Adopt takes over those of the copies numbers that equal src, and returns them, as Compare and Take do one
// after the other. Rest is the numbers of the others.
func (p *Pool) Adopt(ctx context.Context, src *Source, numbers []int, m *Manifest) (adopted []Copy, rest []int, err error) {
	c, err := p.Compare(ctx, src, numbers, m)
	if err != nil {
		return nil, nil, err
	}
	adopted, rest = p.Take(c)
	return adopted, rest, nil
}

// Comparison is what Compare has found. Take uses it up.
type Comparison struct {
	src   *Source
	found []finding
}

// finding is what stands in the place of a copy.
type finding struct {
	number int
	info   fsys.Info  // zero where nothing does
	known  *fsys.Info // what the manifest knows of that very file; nil when it does not
	equal  bool       // to the source, wholly
	ours   bool       // made by somebody of the source or of a copy: nothing is lost with it
}

// Compare compares the copies numbers with src. The content of a copy that is still exactly what the manifest m
// says of this generation is not read again; any other is compared whole. It changes nothing, may take
// seconds, and may run beside the Pool's owner.
func (p *Pool) Compare(ctx context.Context, src *Source, numbers []int, m *Manifest) (*Comparison, error) {
	c := &Comparison{src: src}
	for _, n := range numbers {
		f, err := p.find(ctx, src, n, m)
		if err != nil {
			return nil, err
		}
		c.found = append(c.found, f)
	}
	return c, nil
}

// find looks at copy n.
func (p *Pool) find(ctx context.Context, src *Source, n int, m *Manifest) (finding, error) {
	f := finding{number: n}
	info, err := p.dir.Lstat(p.copyName(n))
	if fsys.NotExist(err) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	if known, made := m.made(n, info.ID); made {
		f.known = &known
	}
	same := info == m.Copies[n] && m.SHA256 == src.sha256
	info, d, err := p.compare(ctx, src, n, !same)
	if err != nil {
		return f, err
	}
	f.info, f.equal = info, d.text == ""
	f.ours = info.ID == src.info.ID && info.IsRegular() || d.time || d.links
	return f, nil
}

// Take takes over the copies that were found to equal the source, and returns them. Rest is the others:
// missing, different, or no copy at all but the source itself or another copy under a further name. Of these
// the ones that the manifest says relinkd has made are owned nevertheless, and so may be replaced; and so are
// those that somebody has made of the source or of a copy: a further name of it, or a file that differs in its
// time alone. Nothing is lost with them.
func (p *Pool) Take(c *Comparison) (adopted []Copy, rest []int) {
	taken := map[fsys.ID]bool{c.src.info.ID: true}
	for _, f := range c.found {
		if f.known != nil { // with what we knew of it: if it was written to since, whoever replaces it keeps it
			p.Own(Copy{Number: f.number, Info: *f.known})
		}
		if f.ours && !p.made(f.number, f.info) || f.equal && taken[f.info.ID] {
			p.Own(Copy{Number: f.number, Info: f.info})
		}
		if !f.equal || taken[f.info.ID] {
			rest = append(rest, f.number)
			continue
		}
		taken[f.info.ID] = true
		own := Copy{Number: f.number, Info: f.info, SHA256: c.src.sha256}
		p.Own(own)
		adopted = append(adopted, own)
	}
	return adopted, rest
}
