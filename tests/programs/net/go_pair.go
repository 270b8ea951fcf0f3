// go_pair serve ADDRESS FILE; go_pair run ADDRESS SECRET: Go's net/http on both sides.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func sum(b []byte) string {
	return fmt.Sprintf("%d bytes, %x", len(b), sha256.Sum256(b))[:40]
}

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func serve(address, file string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "asked %s\n", r.URL.Path) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			w.Write(body)
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	})
	mux.HandleFunc("/raw", func(w http.ResponseWriter, r *http.Request) {
		c, rest, err := w.(http.Hijacker).Hijack()
		must(err)
		defer c.Close()
		io.Copy(c, rest)
	})
	server := &http.Server{Addr: address, Handler: mux}
	go func() {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		<-c
		server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		must(err)
	}
}

func get(c *http.Client, url string) []byte {
	r, err := c.Get(url)
	must(err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	must(err)
	return body
}

func raw(address, secret string) {
	c, err := net.Dial("tcp", address)
	must(err)
	fmt.Fprintf(c, "GET /raw HTTP/1.1\r\nHost: x\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, err = c.Read(make([]byte, 10))
	fmt.Println("deadline", errors.Is(err, os.ErrDeadlineExceeded))
	c.SetReadDeadline(time.Time{})
	text := []byte(strings.Repeat(secret+"\n", 50000))
	go func() {
		io.Copy(c, bytes.NewReader(text))
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	must(err)
	fmt.Println("raw", bytes.Equal(got, text))
	c.Close()
}

func run(address, secret string) {
	url := "http://" + address
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20, MaxConnsPerHost: 20}, Timeout: time.Minute}
	var right atomic.Int32
	var wait sync.WaitGroup
	for i := 0; i < 20; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for j := 0; j < 50; j++ {
				path := fmt.Sprintf("/%s/%d/%d", secret, i, j)
				if string(get(client, url+path)) == "asked "+path+"\n" {
					right.Add(1)
				}
			}
		}()
	}
	wait.Wait()
	fmt.Println("keep-alive", right.Load())
	fmt.Println("file", sum(get(client, url+"/file")))
	body := []byte(strings.Repeat(secret, 100000))
	r, err := client.Post(url+"/echo", "text/plain", io.MultiReader(bytes.NewReader(body), strings.NewReader("end")))
	must(err)
	back, err := io.ReadAll(r.Body)
	must(err)
	fmt.Println("echo", bytes.Equal(back, append(body, "end"...)))
	short := &http.Client{Timeout: 300 * time.Millisecond}
	_, err = short.Get(url + "/slow")
	fmt.Println("timeout", os.IsTimeout(err))
	once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i := 0; i < 30; i++ {
		get(once, url+"/"+secret)
	}
	raw(address, secret)
	_, err = net.DialTimeout("tcp", address[:strings.LastIndex(address, ":")]+":8200", time.Second)
	fmt.Println("dialled", err)
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3])
	} else {
		run(os.Args[2], os.Args[3])
	}
}
