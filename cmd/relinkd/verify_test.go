package main

import (
	"bytes"
	"testing"

	"relinkd/watch"
)

func TestVerificationText(t *testing.T) {
	var b bytes.Buffer
	printVerification(&b, &watch.Verification{Targets: []watch.TargetVerification{
		{Target: "imapd", SHA256: "ab", Copies: []watch.CopyFinding{{Name: "imapd_001"}, {Name: "imapd_002", Problem: "missing"}}},
		{Target: "lmtpd"},
	}})
	want := "imapd: imapd_002: missing\n" +
		"imapd: 1 of 2 copies equal their source (sha256 ab)\n" +
		"lmtpd: no copies\n"
	if got := b.String(); got != want {
		t.Errorf("printed\n%swant\n%s", got, want)
	}
}
