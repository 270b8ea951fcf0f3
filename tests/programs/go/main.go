// Goroutines, channels, os/exec, os/signal, net/http on the loopback, nil dereference recovered, deep stacks, timers, many threads.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type node struct {
	pad  [64]byte
	next *node
}

func goroutines() {
	var wg sync.WaitGroup
	var n int64
	ch := make(chan int, 16)
	for i := 0; i < 2000; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			atomic.AddInt64(&n, int64(i))
			ch <- i
			runtime.Gosched()
		}(i)
	}
	sum := 0
	for i := 0; i < 2000; i++ {
		sum += <-ch
	}
	wg.Wait()
	fmt.Println("goroutines", n, sum)
}

// Goroutines that each hold a thread in a blocking call.
func threads() {
	var wg sync.WaitGroup
	r := make([]int, 50)
	for i := range r {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			runtime.LockOSThread()
			ts := syscall.NsecToTimespec(int64(2 * time.Millisecond))
			for syscall.Nanosleep(&ts, &ts) == syscall.EINTR {
			}
			r[i] = i
		}(i)
	}
	wg.Wait()
	fmt.Println("threads", r[49])
}

func deep(n int) int {
	var room [100]int
	room[n%100] = n
	if n == 0 {
		return 0
	}
	return deep(n-1) + room[n%100] - n + 1
}

func faults() {
	caught := 0
	for i := 0; i < 2000; i++ {
		func() {
			defer func() {
				var e runtime.Error
				if err, ok := recover().(error); ok && errors.As(err, &e) {
					caught++
				}
			}()
			var p *node
			switch i % 3 {
			case 0:
				_ = p.next.next
			case 1:
				z := i % 1
				fmt.Print(1 / z)
			default:
				fmt.Print([]int{1}[i])
			}
		}()
	}
	fmt.Println("recovered", caught, "deep", deep(100000))
	debug.SetPanicOnFault(true)
	func() {
		defer func() { fmt.Println("fault:", recover() != nil) }()
		b, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			panic("mmap")
		}
		b[10] = 1
	}()
}

func commands() {
	out, err := exec.Command("sh", "-c", "echo out; exit 7").CombinedOutput()
	var ee *exec.ExitError
	fmt.Printf("%q %v\n", out, errors.As(err, &ee) && ee.ExitCode() == 7)
	_, err = exec.Command("./absent").Output()
	fmt.Println("absent:", errors.Is(err, os.ErrNotExist))
	_, err = exec.LookPath("absent-command")
	fmt.Println("look:", err)
	c := exec.Command("sort")
	c.Stdin = strings.NewReader("b\na\nc\n")
	c.Env = []string{"LC_ALL=C"}
	out, _ = c.Output()
	fmt.Printf("%q\n", out)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println("timeout:", exec.CommandContext(ctx, "sleep", "60").Run())
	var wg sync.WaitGroup
	codes := make([]int, 20)
	for i := range codes {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			err := exec.Command("sh", "-c", fmt.Sprintf("exit %d", i)).Run()
			var ee *exec.ExitError
			if errors.As(err, &ee) {
				codes[i] = ee.ExitCode()
			}
		}(i)
	}
	wg.Wait()
	fmt.Println(codes)
	self, err := os.Executable()
	fmt.Println("executable", filepath.Base(self), err)
	out, err = exec.Command(self, "child", "a b").Output()
	fmt.Printf("%q %v\n", out, err)
	c = exec.Command("cat")
	in, _ := c.StdinPipe()
	var buf bytes.Buffer
	c.Stdout = &buf
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	fmt.Println(c.Start())
	io.Copy(in, bytes.NewReader(make([]byte, 300000)))
	in.Close()
	fmt.Println(c.Wait(), buf.Len())
}

func signals() {
	ch := make(chan os.Signal, 10)
	signal.Notify(ch, syscall.SIGUSR1, syscall.SIGTERM)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal", <-ch)
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	fmt.Println("signal", <-ch)
	signal.Ignore(syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	signal.Reset()
	t := time.NewTicker(2 * time.Millisecond)
	for i := 0; i < 20; i++ {
		<-t.C
	}
	t.Stop()
	fmt.Println("ticks")
}

func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %x", r.Method, r.URL.Path, sha256.Sum256(b))
	})}
	go srv.Serve(l)
	var wg sync.WaitGroup
	answers := make([]string, 100)
	for i := range answers {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			r, err := http.Post(fmt.Sprintf("http://%s/p%d", l.Addr(), i), "text/plain", bytes.NewReader(make([]byte, i*1000)))
			if err != nil {
				answers[i] = "error"
				return
			}
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			answers[i] = string(b)
		}(i)
	}
	wg.Wait()
	sort.Strings(answers)
	fmt.Printf("http %x\n", sha256.Sum256([]byte(strings.Join(answers, "\n"))))
	fmt.Println("shutdown", srv.Shutdown(context.Background()))
}

func garbage() {
	var keep [][]byte
	for i := 0; i < 20000; i++ {
		keep = append(keep, make([]byte, 2000+i%500))
		if len(keep) > 500 {
			keep = keep[100:]
		}
	}
	runtime.GC()
	debug.FreeOSMemory()
	fmt.Println("kept", len(keep) > 0)
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		fmt.Print("child of itself: ", os.Args[2])
		return
	}
	goroutines()
	threads()
	faults()
	commands()
	signals()
	serve()
	garbage()
	defer fmt.Println("deferred, not run by os.Exit")
	if len(os.Args) > 1 && os.Args[1] == "panic" {
		debug.SetTraceback("none")
		panic("on purpose")
	}
	os.Exit(11)
}
