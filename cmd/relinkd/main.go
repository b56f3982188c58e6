// Command relinkd keeps copies of an executable and lets its name lead to the least loaded one: the
// daemon, and the command line that talks to it. Each verb has a file of its own and no logic: that
// is in the packages it calls.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
