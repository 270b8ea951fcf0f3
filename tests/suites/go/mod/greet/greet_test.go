package greet

import (
	"fmt"
	"sync"
	"testing"
)

func TestHello(t *testing.T) {
	if got := Hello("you"); got != "hello, you" {
		t.Fatalf("Hello: %q", got)
	}
}

// What the race detector watches and finds nothing in.
func TestMany(t *testing.T) {
	var all sync.Map
	var wait sync.WaitGroup
	for i := 0; i < 100; i++ {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			all.Store(i, Hello(fmt.Sprint(i)))
		}(i)
	}
	wait.Wait()
	if v, _ := all.Load(99); v != "hello, 99" {
		t.Fatal(v)
	}
}
