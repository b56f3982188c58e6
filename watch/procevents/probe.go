package procevents

// probeBuffer holds the few events that come while one asks.
const probeBuffer = 64 << 10

// Probe reports why process events are not to be had by this process, nil when they are. It listens and
// ends that again at once, and disturbs nobody else who listens.
func Probe() error {
	c, err := Subscribe(probeBuffer)
	if err != nil {
		return err
	}
	c.Close()
	return nil
}
