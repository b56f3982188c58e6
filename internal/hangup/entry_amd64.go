package hangup

// entry is where the kernel begins the program. Go's runtime keeps an ignored SIGHUP ignored until Notify.
func entry()

var _ = entry
