package pool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"relinkd/internal/fstest"
)

func TestReadSource(t *testing.T) {
	onEach(t, func(t *testing.T, x *fixture) {
		src := x.source(fstest.Packaged)
		if want := fmt.Sprintf("%x", sha256.Sum256([]byte(x.content(fstest.Packaged)))); src.SHA256() != want {
			t.Errorf("SHA256 = %s, want %s", src.SHA256(), want)
		}
		if want := lstat(t, x.path(fstest.Packaged)); src.Info() != want {
			t.Errorf("Info = %+v, want %+v", src.Info(), want)
		}
	})
}

// lookedAt is a context that calls a function each time it is asked whether it is over.
type lookedAt struct {
	context.Context
	asked func()
}

func (c lookedAt) Err() error {
	c.asked()
	return c.Context.Err()
}

func TestSourceChangesWhileItIsRead(t *testing.T) {
	for name, content := range map[string]string{
		"grows":        strings.Repeat("x", readBuffer+1),
		"shrinks":      "y",
		"is rewritten": strings.Repeat("z", readBuffer),
	} {
		t.Run(name, func(t *testing.T) {
			x := onScratch(t)
			x.write("imapd", strings.Repeat("x", readBuffer))
			setMtime(t, x.path("imapd"), 1)
			f, err := os.Open(x.path("imapd"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			asked := 0
			_, err = ReadSource(lookedAt{t.Context(), func() {
				if asked++; asked == 2 {
					x.write("imapd", content)
				}
			}}, f)
			if !errors.Is(err, ErrChanged) {
				t.Errorf("error %v, want ErrChanged", err)
			}
			if _, err := f.Stat(); err != nil {
				t.Errorf("the file was taken over in spite of the error: %v", err)
			}
		})
	}
}

// The last of those who use a source closes its file.
func TestShare(t *testing.T) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	src, err := ReadSource(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	other := src.Share()
	for _, user := range []*Source{src, other} {
		if ok, err := other.Intact(t.Context()); !ok || err != nil {
			t.Errorf("in use: %v, %v", ok, err)
		}
		if err := user.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := other.Intact(t.Context()); err == nil {
		t.Error("nobody uses it, and it can be read")
	}
}

func TestReadSourceIsCancelled(t *testing.T) {
	x := onScratch(t)
	x.write("imapd", "content")
	f, err := os.Open(x.path("imapd"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadSource(ctx, f); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSourceThatIsNoFile(t *testing.T) {
	f, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, read := range map[string]func() (*Source, error){
		"ReadSource": func() (*Source, error) { return ReadSource(t.Context(), f) },
		"Known":      func() (*Source, error) { return Known(f, "abc") },
	} {
		if _, err := read(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s of a directory: %v", name, err)
		}
	}
}

func TestKnownDoesNotRead(t *testing.T) {
	x := onScratch(t)
	x.write("imapd", "content")
	f, err := os.OpenFile(x.path("imapd"), os.O_WRONLY, 0) // cannot be read from
	if err != nil {
		t.Fatal(err)
	}
	src, err := Known(f, "abc")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.SHA256() != "abc" || src.File() != f || src.Info() != lstat(t, x.path("imapd")) {
		t.Errorf("source %+v", src)
	}
}

func TestManyAttributes(t *testing.T) {
	x := onScratch(t)
	x.write("imapd", "content")
	for i := range 40 {
		if err := unix.Setxattr(x.path("imapd"), fmt.Sprintf("user.attribute-%02d", i), []byte{byte(i)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	x.make(x.source("imapd"), 1)
	x.wantEqual("imapd", 1)
}
