package pool

import "testing"

func TestCopyNumber(t *testing.T) {
	for n := 1; n <= MaxCopies; n++ {
		if got := CopyNumber("imapd", CopyName("imapd", n)); got != n {
			t.Fatalf("CopyNumber(%s) = %d, want %d", CopyName("imapd", n), got, n)
		}
	}
	for _, file := range []string{
		"", "imapd", "imapd_", "imapd_1", "imapd_01", "imapd_0001", "imapd_1000", "imapd_000",
		"imapd_+12", "imapd_-12", "imapd_ 12", "imapd_12 ", "imapd_1a2", "imapd_0x1", "imapd_1_2",
		"imapd-017", "imapd_017.new", "ximapd_017", "pop3d_017", "imapd_\xd9\xa1x", "/mapd_017",
	} {
		if n := CopyNumber("imapd", file); n != 0 {
			t.Errorf("CopyNumber(%q) = %d, want 0", file, n)
		}
	}
}
