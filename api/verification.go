package api

// Verification is the outcome of checking copies against their source.
type Verification struct {
	Targets []TargetVerification `json:"targets"`
}

// TargetVerification is one target's part of a Verification.
type TargetVerification struct {
	Target string        `json:"target"`
	SHA256 string        `json:"sha256"` // of the source
	Copies []CopyFinding `json:"copies"`
}

// CopyFinding is what was found of one copy; Problem is empty when it equals its source.
type CopyFinding struct {
	Name    string `json:"name"`
	Problem string `json:"problem"`
}

// Problems counts the copies that do not equal their source.
func (v *Verification) Problems() int {
	n := 0
	for _, t := range v.Targets {
		for _, c := range t.Copies {
			if c.Problem != "" {
				n++
			}
		}
	}
	return n
}
