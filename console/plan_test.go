package console

import (
	"fmt"
	"testing"

	"relinkd/api"
)

func TestPlanText(t *testing.T) {
	plan := &api.Plan{Targets: []api.TargetPlan{
		{
			Target: "imapd", State: api.Cloning,
			Steps: []string{
				"clone /usr/lib/cyrus/bin/imapd (inode 123, 360224 bytes) 60 times: imapd_001 to imapd_060",
				"point /usr/lib/cyrus/bin/.relinkd/imapd at imapd_001",
				"exchange /usr/lib/cyrus/bin/imapd for a symbolic link to it, keeping the file as imapd.pristine",
			},
			Effects: []string{"processes that begin afterwards run a copy, under the name and with the arguments that they have now"},
			Keeps:   []string{"processes that run: none is stopped or restarted, each goes on with the file that it runs"},
		},
		{Target: "lmtpd", State: api.Steady, Keeps: []string{"/usr/lib/cyrus/bin/lmtpd leads to lmtpd_004"}},
		{Target: "pop3d", State: api.Released, Keeps: []string{"/x/pop3d is not managed until you say so: `relinkd manage pop3d` would take it over"}},
	}}
	for _, width := range widths {
		golden(t, fmt.Sprintf("plan-%d", width), screen(width, true).Plan(plan))
	}
	golden(t, "plan-80-ascii", screen(80, false).Plan(plan))
	plan.Targets = plan.Targets[1:]
	golden(t, "plan-nothing-80", screen(80, true).Plan(plan))
}
