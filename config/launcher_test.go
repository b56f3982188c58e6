package config

import (
	"errors"
	"strings"
	"testing"
)

// Where no launcher can be made it is no choice, and the error says why.
func TestNoLauncher(t *testing.T) {
	k := publish(errors.New("there is a launcher for amd64 and arm64, not for s390x"))
	if k.allowed != `"symlink" or "none"` {
		t.Errorf("allowed: %s", k.allowed)
	}
	if v, problem := k.read("launcher"); v != nil || problem != `"launcher", but there is a launcher for amd64 and arm64, not for s390x` {
		t.Errorf("read: %v, %s", v, problem)
	}
	if v, problem := publish(nil).read("launcher"); v != "launcher" || problem != "" || !strings.Contains(publish(nil).allowed, "launcher") {
		t.Errorf("read where there is one: %v, %s", v, problem)
	}
}
