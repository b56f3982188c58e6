package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// kind is what the value of a key may be.
type kind struct {
	allowed string // in words

	// read turns a value as TOML gives it into the one that Config holds. A value that is not
	// allowed makes found say what it is; found is "" otherwise.
	read func(v any) (value any, found string)

	// parse turns the text of an environment variable or a flag into the TOML value that it stands
	// for. Text that stands for none stays text, which read then refuses. nil: text is meant.
	parse func(text string) any
}

// readText reads what an environment variable or a flag says.
func (k kind) readText(text string) (any, string) {
	if k.parse == nil {
		return k.read(text)
	}
	return k.read(k.parse(text))
}

// whole allows the whole numbers from least to most; most 0 means no end.
func whole(least, most int) kind {
	allowed := fmt.Sprintf("a whole number of at least %d", least)
	if most > 0 {
		allowed = fmt.Sprintf("a whole number from %d to %d", least, most)
	}
	return kind{
		allowed: allowed,
		read: func(v any) (any, string) {
			n, ok := v.(int64)
			// An int of a 32-bit machine does not hold every int64.
			if !ok || int64(int(n)) != n || int(n) < least || most > 0 && int(n) > most {
				return nil, describe(v)
			}
			return int(n), ""
		},
		parse: func(text string) any {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n
			}
			return text
		},
	}
}

// share allows a part of a whole: above 0 and up to 1.
func share() kind {
	return kind{
		allowed: "a number above 0 and up to 1",
		read: func(v any) (any, string) {
			f, ok := v.(float64)
			if n, whole := v.(int64); whole {
				f, ok = float64(n), true
			}
			if !ok || !(f > 0 && f <= 1) { // the way round that refuses NaN
				return nil, describe(v)
			}
			return f, ""
		},
		parse: func(text string) any {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				return n
			}
			if f, err := strconv.ParseFloat(text, 64); err == nil {
				return f
			}
			return text
		},
	}
}

// atLeastZero and atLeast allow durations.
func atLeastZero() kind                { return duration("of at least zero", 0) }
func atLeast(least time.Duration) kind { return duration("of at least "+shortDuration(least), least) }

func duration(which string, least time.Duration) kind {
	return kind{
		allowed: fmt.Sprintf(`a duration %s, with its unit and in quotes, such as "90s", "1m30s" or "24h"`, which),
		read: func(v any) (any, string) {
			text, _ := v.(string)
			d, err := time.ParseDuration(text)
			if err == nil && d >= least {
				return d, ""
			}
			if err != nil && isNumber(v) {
				return nil, describe(v) + ", a number without a unit"
			}
			return nil, describe(v)
		},
	}
}

// Bytes is a number of bytes.
type Bytes int64

// byteUnits are the units of Bytes, the greatest first.
var byteUnits = []struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String writes b in the greatest unit of which it is a whole number.
func (b Bytes) String() string {
	for _, unit := range byteUnits {
		if b != 0 && int64(b)%unit.size == 0 {
			return fmt.Sprintf("%d%s", int64(b)/unit.size, unit.name)
		}
	}
	return "0B"
}

// bytes allows a number of bytes.
func bytes() kind {
	return kind{
		allowed: `a number of bytes with its unit (B, KiB, MiB, GiB or TiB) and in quotes, such as "64MiB" or "0B"`,
		read: func(v any) (any, string) {
			text, _ := v.(string)
			for _, unit := range byteUnits {
				number, is := strings.CutSuffix(text, unit.name)
				if !is {
					continue
				}
				if n, err := strconv.ParseUint(number, 10, 63); err == nil && int64(n) <= math.MaxInt64/unit.size {
					return Bytes(int64(n) * unit.size), ""
				}
				break
			}
			if isNumber(v) {
				return nil, describe(v) + ", a number without a unit"
			}
			return nil, describe(v)
		},
	}
}

// isNumber reports whether v is a number or the text of one.
func isNumber(v any) bool {
	switch v := v.(type) {
	case int64, float64:
		return true
	case string:
		_, err := strconv.ParseFloat(v, 64)
		return err == nil
	}
	return false
}

// oneOf allows some words. missing holds words that relinkd knows of but does not do, each with what
// there is to say about it.
func oneOf(words []string, missing map[string]string) kind {
	return kind{
		allowed: alternatives(words),
		read: func(v any) (any, string) {
			word, ok := v.(string)
			if ok && slices.Contains(words, word) {
				return word, ""
			}
			if why := missing[word]; ok && why != "" {
				return nil, describe(v) + ", but " + why
			}
			return nil, describe(v)
		},
	}
}

// text allows any text.
func text(allowed string) kind {
	return kind{allowed: allowed, read: func(v any) (any, string) {
		if s, ok := v.(string); ok {
			return s, ""
		}
		return nil, describe(v)
	}}
}

// absolute allows an absolute path of at most longest bytes, in its shortest form so that one file
// has one spelling, and besides the words in or.
func absolute(longest int, or ...string) kind {
	allowed := fmt.Sprintf(`an absolute path of at most %d bytes without "//", "/../" and the like`, longest)
	if len(or) > 0 {
		allowed = alternatives(or) + " or " + allowed
	}
	return kind{allowed: allowed, read: func(v any) (any, string) {
		path, ok := v.(string)
		if ok && slices.Contains(or, path) {
			return path, ""
		}
		if !ok || len(path) > longest || path == "/" || !filepath.IsAbs(path) ||
			filepath.Clean(path) != path || strings.ContainsFunc(path, unicode.IsControl) {
			return nil, describe(v)
		}
		return path, ""
	}}
}

// listenAddress allows an address of this host with a port, and nothing.
func listenAddress() kind {
	return kind{allowed: `"" or an IP address (or localhost) and a port, such as "127.0.0.1:9642"`, read: func(v any) (any, string) {
		address, ok := v.(string)
		if ok && address == "" {
			return address, ""
		}
		host, port, err := net.SplitHostPort(address)
		if n, perr := strconv.ParseUint(port, 10, 16); !ok || err != nil || perr != nil || n == 0 {
			return nil, describe(v)
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			return nil, describe(v)
		}
		return address, ""
	}}
}

// alternatives writes "a", "b" or "c".
func alternatives(words []string) string {
	var b strings.Builder
	for i, word := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(word))
	}
	return b.String()
}

// describe names a TOML value for people.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	case float64:
		// 240.0 must not read like the whole number that it is refused for not being.
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".eIN") {
			s += ".0"
		}
		return s
	default:
		return fmt.Sprint(v)
	}
}
