package config

// restartSetting is a setting that a reload does not change.
type restartSetting struct {
	name string
	of   func(*Config) string
}

func restartSettings() []restartSetting {
	return []restartSetting{
		{"control.socket", func(c *Config) string { return c.Control.Socket }},
		{"control.group", func(c *Config) string { return c.Control.Group }},
		{"log.level", func(c *Config) string { return c.Log.Level }},
		{"log.format", func(c *Config) string { return c.Log.Format }},
		{"state.dir", func(c *Config) string { return c.State.Dir }},
	}
}

// RestartNeeded names the settings that differ between the two and that only a restart changes, as
// sentences for an administrator: "control.socket: needs a restart". Everything else takes effect on
// a reload.
func RestartNeeded(old, new *Config) []string {
	var needed []string
	for _, s := range restartSettings() {
		if s.of(old) != s.of(new) {
			needed = append(needed, s.name+": needs a restart")
		}
	}
	return needed
}
