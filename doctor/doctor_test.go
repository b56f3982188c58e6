package doctor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"relinkd/api"
	"relinkd/config"
	"relinkd/console"
)

// TestExamine looks at a made-up host, with a daemon of which only the status is there.
func TestExamine(t *testing.T) {
	h, path := installed(t)
	runs(t, h, 42, path, dynamic(path))
	write(t, filepath.Join(h.Proc, "sys/fs/inotify/max_user_instances"), "128\n")
	write(t, filepath.Join(h.Proc, "sys/fs/inotify/max_user_watches"), "8192\n")
	write(t, filepath.Join(h.Etc, "cyrus.conf"), conf)
	write(t, filepath.Join(h.Dpkg, "status"), "")
	write(t, filepath.Join(h.Dpkg, "info/cyrus-imapd.list"), path+"\n")
	write(t, filepath.Join(h.Etc, "cron.d/relink"), "* * * * * root ln -sfn imapd_002 "+path+"\n")
	o := Options{
		Version: "1", Host: h,
		Config: &config.Config{Targets: []config.Target{{Name: "imapd", Path: path, Publish: config.PublishSymlink, Copies: 60, MaxCopies: 240,
			Threshold: 200, RotateAt: 0.9, Rotation: config.RotationAdaptive}}},
		Status: &api.Status{Accounting: "census", AccountingReason: "the kernel does not acknowledge listening",
			Targets: []api.TargetStatus{{Name: "imapd", State: api.Steady, Mark: 180, Threshold: 200, Copies: make([]api.CopyStatus, 60)}}},
	}
	r := Examine(o)
	text := r.Text(console.Screen{Width: 80})
	for _, part := range []string{
		"note  no process events: the kernel does not acknowledge listening\n",
		"  fine  " + "inotify instances: root",
		"belongs to cyrus-imapd",
		"maxchild of imap and imaps is 12000 together",
		"TODO  " + filepath.Join(h.Etc, "cron.d/relink")[:20],
		"0 processes on 60 copies, highest so far 0 of 200",
		"2 of 6 (33 %)",
		"1 finding needs doing (TODO)",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(part), " ")) {
			t.Errorf("%q is not said:\n%s", part, text)
		}
	}
	if len(r.Shares) != 1 || r.Shares[0].PID != 42 || r.Count(Needs) != 1 {
		t.Errorf("%d findings to be done, shares %+v", r.Count(Needs), r.Shares)
	}
	// What is a list in the document is one when it is empty, too.
	o.Config = &config.Config{}
	document, err := json.Marshal(Examine(o))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(document), "null") {
		t.Errorf("%s", document)
	}
}

func TestUnseen(t *testing.T) {
	if len(unseen(0)) != 0 || len(unseen(1000)) == 0 {
		t.Error("root sees all, others do not")
	}
	if os.Getuid() != 0 {
		h, _ := installed(t)
		if r := Examine(Options{Host: h, Config: &config.Config{}}); len(r.Unseen) == 0 {
			t.Error("it is not said that this is not root")
		}
	}
}
