package cyrus_test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"relinkd/api"
)

// targets: two in one daemon; imapd is upgraded while lmtpd rotates, and both serve.
func targets(t *testing.T, l *lab) {
	l.isolate(t)
	d := l.daemon(t, poolOf12+`
[target.lmtpd]
path = "/usr/lib/cyrus/bin/lmtpd"
copies = 12
max_copies = 24
threshold = 50
`)
	d.await("imapd", api.Steady)
	d.await("lmtpd", api.Steady)
	s := startCyrus(t, settings{prefork: 2})
	mark := s.log.mark(t)
	load := startLoad(t, s.imap, 3, 1)
	settled(t, load)

	deliveries, rotated := 0, 0
	var failed []error
	stopLMTP := loopUntil(func() {
		if err := greetLMTP(s.lmtp); err != nil {
			failed = append(failed, err)
		}
		deliveries++
	})
	stopRotating := loopUntil(func() {
		if err := d.rotate("lmtpd"); err != nil {
			failed = append(failed, err)
		}
		rotated++
		time.Sleep(5 * time.Millisecond) // 200 a second; more only takes the clients' time
	})

	lmtpd := d.target("lmtpd").Generation
	for n := range 5 {
		before := d.target("imapd").Generation.SHA256
		must(t, "mv", variant(t, filepath.Join(d.dir, "imapd"), n), imapdPath)
		d.awaitThat("imapd", "upgraded", func(s api.TargetStatus) bool {
			return s.State == api.Steady && s.Generation.SHA256 != before
		})
		visitCopy(t, s)
		settled(t, load)
	}
	stopRotating()
	stopLMTP()
	status := d.target("lmtpd")
	if status.Generation != lmtpd || status.State != api.Steady {
		t.Errorf("upgrades of imapd made lmtpd %s, of generation %+v; it was %+v", status.State, status.Generation, lmtpd)
	}
	if status.RotationsByReason.Operator != rotated || d.target("imapd").RotationsByReason.Operator != 0 {
		t.Errorf("%d rotations of lmtpd were asked for, status counts %d of lmtpd and %d of imapd",
			rotated, status.RotationsByReason.Operator, d.target("imapd").RotationsByReason.Operator)
	}
	seen := load.stop()
	t.Logf("imap: %v; lmtp: %d sessions during %d rotations", seen, deliveries, rotated)
	if seen.lost() > 0 || len(failed) > 0 {
		t.Errorf("sessions were lost: %v; %d of lmtp or rotations of lmtpd, %v", seen, len(failed), failed)
	}
	s.log.noFailures(t, mark)
	d.verb(0, "restore", "--all")
	l.reinstall(t)
}

// greetLMTP is a short session: connect, say hello, quit.
func greetLMTP(address string) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	lines := bufio.NewReader(conn)
	for _, exchange := range []struct{ say, hear string }{{"", "220 "}, {"LHLO test\r\n", "250 "}, {"QUIT\r\n", "221 "}} {
		if _, err := conn.Write([]byte(exchange.say)); err != nil {
			return err
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return fmt.Errorf("after %q: %w", exchange.say, err)
			}
			if strings.HasPrefix(line, exchange.hear) {
				break
			}
			if !strings.HasPrefix(line, exchange.hear[:3]+"-") {
				return fmt.Errorf("after %q: %s", exchange.say, line)
			}
		}
	}
	return nil
}
