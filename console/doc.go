// Package console puts what relinkd knows into words and bars for people at a terminal: of any width,
// with colours and block characters where it has them. It must never ask anybody anything, decide
// anything, or pass on a control character that a file's name or another's text may hold.
package console
