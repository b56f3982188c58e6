package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"relinkd/api"
	"relinkd/console"
	"relinkd/doctor"
)

func (a *app) manageCmd() *cobra.Command {
	var yes, unchecked bool
	cmd := &cobra.Command{
		Use:   "manage TARGET",
		Short: "Take a target over, for the first time or again after restore",
		Long: `manage takes a target over: one that is released, as all are after an installation from
a package and those that restore has let go, or one whose path leads to copies that
somebody made by hand. First it tells what it would do and what copies can and cannot do
for this executable on this host, and asks; with --yes it does not ask. Without a terminal
to ask at, --yes is needed. It works with and without a running daemon.

A kernel before 6.14 cannot be asked whether others may execute a copy. Where fapolicyd, IMA
appraisal, SELinux or AppArmor has a say in that, manage tells so and asks for that alone;
--yes does not answer it, --unchecked does.`,
		Example: "  relinkd manage imapd\n  relinkd manage imapd --yes </dev/null",
		Args:    takes("TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, terminal := terminalWidth(a.in); !terminal && !yes {
				return usagef(cmd, "there is no terminal to ask at, so nothing has been changed: say --yes")
			}
			return a.askOrAct(cmd.Context(), func(svc api.Service) error {
				return a.manage(cmd.Context(), svc, args[0], yes, unchecked)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&unchecked, "unchecked", false, "also where the kernel cannot say whether others may execute a copy")
	return cmd
}

// manage shows what managing the target means, asks unless that is settled already, and has it done.
func (a *app) manage(ctx context.Context, svc api.Service, target string, yes, unchecked bool) error {
	p, err := svc.PlanManage(ctx, target)
	if err != nil {
		return err
	}
	if err := a.show(a.screen().TakeOver(p) + limits(p.Path, a.screen().Width)); err != nil {
		return err
	}
	if len(p.Steps) > 0 && !unchecked {
		question, err := gate(target, a.unsure(p.Path), yes)
		if err == nil && question != "" {
			err = a.confirm(ctx, question)
		}
		if err != nil {
			return err
		}
	}
	if !yes && len(p.Steps) > 0 {
		if err := a.confirm(ctx, fmt.Sprintf("Manage %s now? [yes/no] ", target)); err != nil {
			return err
		}
	}
	r, err := svc.Manage(ctx, target)
	if err != nil {
		return err
	}
	a.printReport(r)
	return nil
}

// gate is the question to be answered first where unsure says why it cannot be known whether others may
// execute a copy; "" for none. Who has said --yes is not there to be asked, and has not answered it.
func gate(target string, unsure []string, yes bool) (question string, err error) {
	if len(unsure) == 0 {
		return "", nil
	}
	why := "this kernel cannot be asked whether others may execute a copy, and that is not a matter of modes alone: " + strings.Join(unsure, "; ")
	if yes {
		return "", fmt.Errorf("nothing has been changed: %s; try a copy of it by hand (cp -a, then execute it as the service's user), see relinkd doctor, then say --unchecked too", why)
	}
	return fmt.Sprintf("Note: %s.\nIf it is refused, %s does not start any more until relinkd restore. Go on? [yes/no] ", why, target), nil
}

// limits is what copies can and cannot do for the executable at path, as paragraphs of that width; "" when
// nothing is installed there.
func limits(path string, width int) string {
	share, err := doctor.ShareOf(doctor.ThisHost(), path)
	if err != nil {
		return "" // what is wrong with path, the plan tells
	}
	var b strings.Builder
	b.WriteString("\nWhat copies can and cannot do on this host:\n")
	for _, sentence := range share.Sentences() {
		for _, line := range console.Wrap(sentence, width-2) {
			b.WriteString("  " + line + "\n")
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// confirm asks at the terminal. Anything but yes is an error, the end of the input too.
func (a *app) confirm(ctx context.Context, question string) error {
	fmt.Fprint(a.errOut, question)
	answer := make(chan string, 1)
	go func() { // which a signal must not have to wait for
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		if text == "yes" || text == "y" {
			return nil
		}
		return &notConfirmed{"the answer was not yes"}
	case <-ctx.Done():
		fmt.Fprintln(a.errOut)
		return &notConfirmed{context.Cause(ctx).Error()}
	}
}

// notConfirmed is a question that was not answered with yes.
type notConfirmed struct{ why string }

func (e *notConfirmed) Error() string { return e.why + ": nothing has been changed" }
