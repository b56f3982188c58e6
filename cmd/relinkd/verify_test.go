package main

import (
	"bytes"
	"testing"

	"relinkd/api"
)

func TestVerificationText(t *testing.T) {
	var b bytes.Buffer
	printVerification(&b, &api.Verification{Targets: []api.TargetVerification{
		{Target: "imapd", SHA256: "ab", Copies: []api.CopyFinding{{Name: "imapd_001"}, {Name: "imapd_002", Problem: "missing"}}},
		{Target: "lmtpd"},
	}})
	want := "imapd: imapd_002: missing\n" +
		"imapd: 1 of 2 copies equal their source (sha256 ab)\n" +
		"lmtpd: no copies\n"
	if got := b.String(); got != want {
		t.Errorf("printed\n%swant\n%s", got, want)
	}
}
