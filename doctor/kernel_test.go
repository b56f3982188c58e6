package doctor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKernel(t *testing.T) {
	sound := kernelFacts{Release: "6.18.1", Root: true, ExecveCheck: true, NeedsWatches: 2,
		Watches: use{5, 8192}, Instances: use{3, 128}}
	for name, c := range map[string]struct {
		change func(*kernelFacts)
		want   []string
	}{
		"sound": {func(*kernelFacts) {}, []string{"fine Linux 6.18.1", "fine process events are to be had", "fine AT_EXECVE_CHECK",
			"fine inotify instances: root has 3 of 128", "fine inotify watches: root has 5 of 8192"}},
		"a container": {func(k *kernelFacts) { k.Events = "the kernel does not acknowledge listening" },
			[]string{"fine", "note no process events: the kernel does not acknowledge listening | on the host itself, not in a container", "fine", "fine", "fine"}},
		"the daemon knows better": {func(k *kernelFacts) { k.ByDaemon, k.Watching = true, true; k.Instances.Taken = 128 },
			[]string{"fine", "fine process events: the daemon has them", "fine", "fine inotify instances: root has 128 of 128", "fine"}},
		"an ordinary user": {func(k *kernelFacts) {
			k.Root, k.Events = false, "operation not permitted"
			k.Instances.Taken, k.Watches.Taken = -1, -1
		}, []string{"fine", "note process events cannot be tried by this user | as root", "fine", "fine inotify instances: root may have 128", "fine inotify watches: root may have 8192"}},
		"by the configuration": {func(k *kernelFacts) { k.EventsOff = true },
			[]string{"fine", `note process events are not asked for | set census.events = "auto"`, "fine", "fine", "fine"}},
		"an old kernel": {func(k *kernelFacts) { k.Release, k.ExecveCheck = "6.1.0", false },
			[]string{"fine Linux 6.1.0", "fine", "note no AT_EXECVE_CHECK, which is of Linux 6.14", "fine", "fine"}},
		"full": {func(k *kernelFacts) { k.Instances.Taken = 128; k.Watches = use{8191, 8192} },
			[]string{"fine", "fine", "fine", "TODO inotify instances: root has 128 of 128, relinkd needs 1 | sysctl fs.inotify.max_user_instances=257",
				"TODO inotify watches: root has 8191 of 8192, relinkd needs 2 | sysctl fs.inotify.max_user_watches="}},
		"no procfs": {func(k *kernelFacts) { k.Instances.Limit, k.Watches.Limit = -1, -1 },
			[]string{"fine", "fine", "fine", "note cannot read fs.inotify.max_user_instances", "note cannot read fs.inotify.max_user_watches"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := sound
			c.change(&k)
			says(t, k.judge(), c.want...)
		})
	}
}

func TestInotifyUse(t *testing.T) {
	h := HostAt(t.TempDir())
	link := func(pid int, fd, to string) {
		t.Helper()
		file := filepath.Join(h.process(pid, "fd"), fd)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, file); err != nil {
			t.Fatal(err)
		}
	}
	link(7, "3", "anon_inode:inotify")
	link(7, "4", "anon_inode:[eventfd]")
	link(7, "5", "anon_inode:inotify")
	link(9, "3", "anon_inode:inotify")
	write(t, filepath.Join(h.process(7, "fdinfo"), "3"), "pos:\t0\ninotify wd:2 ino:1\ninotify wd:1 ino:2\n")
	uid := uint32(os.Getuid())
	if i, w := h.inotifyUse(uid); i != 3 || w != 2 {
		t.Errorf("%d instances, %d watches", i, w)
	}
	if i, w := h.inotifyUse(uid + 1); i != 0 || w != 0 {
		t.Errorf("of another user: %d instances, %d watches", i, w)
	}
}
