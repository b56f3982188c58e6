package config

// RestartNeeded names the settings that differ between the two and that only a restart changes, as
// sentences for an administrator: "control.socket: needs a restart". Everything else takes effect on
// a reload.
func RestartNeeded(old, new *Config) []string {
	var needed []string
	for _, s := range []struct {
		key     string
		changed bool
	}{
		{"control.socket", old.Control.Socket != new.Control.Socket},
		{"control.group", old.Control.Group != new.Control.Group},
		{"metrics.listen", old.Metrics.Listen != new.Metrics.Listen},
		{"log.format", old.Log.Format != new.Log.Format},
		{"state.dir", old.State.Dir != new.State.Dir},
	} {
		if s.changed {
			needed = append(needed, s.key+": needs a restart")
		}
	}
	return needed
}
