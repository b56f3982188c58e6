package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"relinkd/console"
)

// screen is what standard output can show.
func (a *app) screen() console.Screen {
	width, _ := terminalWidth(a.out)
	return console.Detect(width, os.Getenv)
}

// show prints a text for people.
func (a *app) show(text string) error {
	_, err := io.WriteString(a.out, text)
	return err
}

// terminalWidth is the width in columns if w is a terminal.
func terminalWidth(w any) (columns int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 1 {
		columns = 80 // a terminal that does not tell
	}
	return columns, true
}
