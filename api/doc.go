// Package api is what relinkd's daemon says of itself and what it can be asked: the documents that the
// daemon makes, the control socket carries, and the command line, the page and doctor show. It holds data
// and names, imports nothing but Go's own packages, and must never act or decide.
package api
