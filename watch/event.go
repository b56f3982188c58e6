package watch

import (
	"github.com/rs/zerolog"

	"relinkd/api"
)

// logged adds to a line of the log what e tells. The target is in the logger already.
func logged(line *zerolog.Event, e *api.Event) *zerolog.Event {
	line = line.Str(api.FieldKind, string(e.Kind))
	switch e.Kind {
	case api.EventRotation, api.EventGrowth, api.EventRepair:
		if e.To != "" {
			line = line.Str(api.FieldCopy, e.To)
		}
	}
	for _, f := range []struct{ name, value string }{{api.FieldReason, e.Reason}, {api.FieldFrom, e.From}} {
		if f.value != "" {
			line = line.Str(f.name, f.value)
		}
	}
	if e.Seconds > 0 {
		line = line.Float64(api.FieldSeconds, e.Seconds)
	}
	return line
}
