package config

import (
	"strings"
	"time"

	"relinkd/linker/launcher"
	"relinkd/pool"
)

// setting is one key of a configuration: where it stands, what it is by default, what it may be.
type setting struct {
	path     []string // from the top of the file
	fallback any
	kind     kind
}

// The separator of the levels of a key towards koanf. A target's name cannot hold it.
const separator = "/"

// The variables of the environment that speak to relinkd begin so, and separate levels so.
const (
	envPrefix    = "RELINKD_"
	envSeparator = "__"
)

// name is the setting as one would write it at the top of the file. A flag for it is called so.
func (s setting) name() string { return dotted(s.path...) }

// koanf is the setting's place among the layers.
func (s setting) koanf() string { return strings.Join(s.path, separator) }

// env is the variable for the setting: RELINKD_TARGET__IMAPD__MAX_COPIES. A variable cannot hold all
// that a target's name can, so that two targets may share one.
func (s setting) env() string {
	name := strings.Join(s.path, envSeparator)
	return envPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// The longest paths: PATH_MAX and the sun_path of a unix socket, each less the final zero byte.
const (
	longestPath   = 4095
	longestSocket = 107
)

// maxKeep is how many earlier generations can be kept.
const maxKeep = 99

// The shortest times between what is done again and again. A census of a small host takes a millisecond, of
// which more than a tenth of a core would be taken by a shorter interval; to read all copies may take seconds.
const (
	shortestInterval = 10 * time.Millisecond
	shortestVerify   = time.Second
)

// settings is every key there is for targets of these names. It is the one place that knows keys,
// defaults and ranges; what one key has to do with others is in validate.go.
func settings(targets []string) []setting {
	var all []setting
	for _, name := range targets {
		for _, s := range targetSettings() {
			s.path = append([]string{"target", name}, s.path...)
			all = append(all, s)
		}
	}
	return append(all, hostSettings()...)
}

// targetSettings is the keys of one target, their paths below [target.NAME].
func targetSettings() []setting {
	return []setting{
		{[]string{"path"}, autoPath, absolute(longestPath, autoPath)},
		{[]string{"publish"}, string(PublishSymlink), publish(launcher.Supported())},
		{[]string{"copies"}, 60, whole(1, pool.MaxCopies)},
		{[]string{"max_copies"}, 240, whole(1, pool.MaxCopies)},
		{[]string{"keep_free"}, Bytes(64 << 20), bytes()},
		{[]string{"threshold"}, 200, whole(1, 0)},
		{[]string{"rotate_at"}, 0.9, share()},
		{[]string{"min_dwell"}, time.Second, atLeastZero()},
		{[]string{"rotation"}, string(RotationAdaptive), oneOf([]string{string(RotationAdaptive), string(RotationInterval)}, nil)},
		{[]string{"interval"}, time.Minute, atLeast(shortestInterval)},
		{[]string{"keep"}, 2, whole(0, maxKeep)},
		{[]string{"settle", "quiet"}, time.Second, atLeastZero()},
		{[]string{"settle", "max"}, 30 * time.Second, atLeastZero()},
	}
}

// publish allows the ways of publishing: none by a launcher where that is not to be had.
func publish(noLauncher error) kind {
	if noLauncher != nil {
		return oneOf([]string{string(PublishSymlink), string(PublishNone)}, map[string]string{string(PublishLauncher): noLauncher.Error()})
	}
	return oneOf([]string{string(PublishSymlink), string(PublishLauncher), string(PublishNone)}, nil)
}

// hostSettings is the keys that are there once.
func hostSettings() []setting {
	return []setting{
		{[]string{"census", "interval"}, time.Minute, atLeast(shortestInterval)},
		{[]string{"census", "events"}, string(EventsAuto), oneOf(
			[]string{string(EventsAuto), string(EventsNetlink), string(EventsOff)}, nil)},
		{[]string{"census", "verify"}, 24 * time.Hour, atLeast(shortestVerify)},
		{[]string{"control", "socket"}, DefaultSocket, absolute(longestSocket)},
		{[]string{"control", "group"}, "", text(`"" or the name of a group`)},
		{[]string{"metrics", "listen"}, "", listenAddress()},
		{[]string{"log", "level"}, "info", oneOf([]string{"trace", "debug", "info", "warn", "error"}, nil)},
		{[]string{"log", "format"}, "auto", oneOf([]string{"auto", "console", "journal", "json"}, nil)},
		{[]string{"state", "dir"}, DefaultStateDir, absolute(longestPath)},
	}
}
