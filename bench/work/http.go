// http serve: an HTTP server on a free port of 127.0.0.1, which it prints; it answers every request with 1 KiB.
// http load PORT CONNECTIONS SECONDS: asks it in a loop over that many kept connections and prints answers per second.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const size = 1024

func fail(err error) {
	fmt.Fprintln(os.Stderr, "http:", err)
	os.Exit(1)
}

func serve() {
	body := bytes.Repeat([]byte("x"), size)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})
	fail(http.Serve(listener, handler))
}

// One connection: asks until the deadline.
func ask(client *http.Client, url string, deadline time.Time) (int64, error) {
	var answers int64
	for time.Now().Before(deadline) {
		r, err := client.Get(url)
		if err != nil {
			return 0, err
		}
		n, err := io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if err != nil || n != size || r.StatusCode != 200 {
			return 0, fmt.Errorf("status %d, %d bytes, %v; 200 and %d bytes are wanted", r.StatusCode, n, err, size)
		}
		answers++
	}
	return answers, nil
}

func load(port string, connections int, seconds float64) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxIdleConns: connections}}
	deadline := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	began := time.Now()
	var all atomic.Int64
	var group sync.WaitGroup
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			n, err := ask(client, "http://127.0.0.1:"+port+"/", deadline)
			if err != nil {
				fail(err)
			}
			all.Add(n)
		}()
	}
	group.Wait()
	fmt.Printf("%.1f\n", float64(all.Load())/time.Since(began).Seconds())
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
	}
	if len(os.Args) == 5 && os.Args[1] == "load" {
		connections, err := strconv.Atoi(os.Args[3])
		if err != nil || connections < 1 {
			fail(fmt.Errorf("%q connections", os.Args[3]))
		}
		seconds, err := strconv.ParseFloat(os.Args[4], 64)
		if err != nil {
			fail(err)
		}
		load(os.Args[2], connections, seconds)
		return
	}
	fmt.Fprintln(os.Stderr, "usage: http serve | http load PORT CONNECTIONS SECONDS")
	os.Exit(2)
}
