package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key is what a manual tells of a key.
type Key struct {
	Name    string // as one would write it at the top of the file, where NAME is any target's
	Default string // as TOML
	Allowed string // in words
	Restart bool   // a change takes effect with a restart, and not with a reload
}

// Keys is every key that there is, those of targets first.
func Keys() []Key {
	var keys []Key
	for _, s := range settings([]string{"NAME"}) {
		name := s.name()
		keys = append(keys, Key{
			Name:    name,
			Default: literal(s.fallback),
			Allowed: s.kind.allowed,
			Restart: slices.ContainsFunc(restartSettings(), func(r restartSetting) bool { return r.name == name }),
		})
	}
	return keys
}

// literal writes a default as TOML does.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case Bytes:
		return strconv.Quote(v.String())
	case time.Duration:
		return strconv.Quote(shortDuration(v))
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration writes d without units of which there are none.
func shortDuration(d time.Duration) string {
	text := d.String() // 24h0m0s
	for _, zero := range []string{"0s", "0m"} {
		if short := strings.TrimSuffix(text, zero); short != "" && strings.ContainsAny(short[len(short)-1:], "hm") {
			text = short
		}
	}
	return text
}
