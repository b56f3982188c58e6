package api

// Plan is what Ensure would do now, a target at a time. It changes nothing.
type Plan struct {
	Targets []TargetPlan `json:"targets"`
}

// TargetPlan is one target's part of a Plan.
type TargetPlan struct {
	Target  string   `json:"target"`
	Path    string   `json:"path"`
	State   State    `json:"state"`
	Steps   []string `json:"steps"`   // in order; empty when nothing would change
	Effects []string `json:"effects"` // what services and the disk notice of the steps
	Keeps   []string `json:"keeps"`   // what stays as it is
}

// Changes reports whether anything would change.
func (p *Plan) Changes() bool {
	for _, t := range p.Targets {
		if len(t.Steps) > 0 {
			return true
		}
	}
	return false
}
