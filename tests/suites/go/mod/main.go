// Command mod is what the go command is given to build: a package of its own, the network resolver, which wants cgo, and a goroutine.
package main

import (
	"fmt"
	"net"

	"example.test/mod/greet"
)

func main() {
	said := make(chan string)
	go func() { said <- greet.Hello("world") }()
	fmt.Println(<-said, net.ParseIP("127.0.0.1").IsLoopback())
}
