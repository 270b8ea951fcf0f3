//! Threads, channels, Command, panics caught, sockets, files.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{exit, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::time::Duration;
use std::{env, fs, panic, thread};

fn threads() {
    let sum = Arc::new(Mutex::new(0u64));
    let hs: Vec<_> = (0..8)
        .map(|i| {
            let sum = Arc::clone(&sum);
            thread::spawn(move || {
                for k in 0..1000 {
                    *sum.lock().unwrap() += i * k;
                }
                i
            })
        })
        .collect();
    let ids: u64 = hs.into_iter().map(|h| h.join().unwrap()).sum();
    println!("threads {} {}", sum.lock().unwrap(), ids);
    let (tx, rx) = mpsc::sync_channel(4);
    for i in 0..4u32 {
        let tx = tx.clone();
        thread::spawn(move || (0..250).for_each(|k| tx.send(i * k).unwrap()));
    }
    drop(tx);
    println!("channel {}", rx.iter().map(u64::from).sum::<u64>());
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = Arc::clone(&pair);
    let h = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        *other.0.lock().unwrap() = true;
        other.1.notify_one();
    });
    let mut ready = pair.0.lock().unwrap();
    while !*ready {
        ready = pair.1.wait(ready).unwrap();
    }
    h.join().unwrap();
    let n = AtomicUsize::new(0);
    thread::scope(|s| {
        for _ in 0..50 {
            s.spawn(|| n.fetch_add(1, Ordering::SeqCst));
        }
    });
    println!("scoped {}", n.load(Ordering::SeqCst));
}

fn panics() {
    panic::set_hook(Box::new(|_| {}));
    let caught = (0..200)
        .filter(|i| panic::catch_unwind(|| if i % 2 == 0 { panic!("on purpose") }).is_err())
        .count();
    let r = thread::spawn(|| -> i32 { [1, 2, 3][env::args().count() + 2] }).join();
    println!("panics {} {}", caught, r.is_err());
    let _ = panic::take_hook();
}

fn commands() {
    let o = Command::new("sh").args(["-c", "echo $X; echo err >&2; exit 6"]).env("X", "value").output().unwrap();
    println!("{:?} {:?} {:?}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr), o.status.code());
    println!("absent: {:?}", Command::new("absent-command").spawn().err().map(|e| e.kind()));
    let mut c = Command::new("wc").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    c.stdin.take().unwrap().write_all(&vec![b'x'; 200_000]).unwrap();
    let out = c.wait_with_output().unwrap();
    println!("wc {}", String::from_utf8_lossy(&out.stdout).trim());
    let mut s = Command::new("sleep").arg("60").spawn().unwrap();
    s.kill().unwrap();
    println!("killed {}", s.wait().unwrap());
    let me = env::current_exe().unwrap();
    let o = Command::new(me).arg("child").current_dir("/").output().unwrap();
    println!("{} {:?}", String::from_utf8_lossy(&o.stdout), o.status.code());
}

fn sockets() {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = l.local_addr().unwrap();
    let h = thread::spawn(move || {
        for s in l.incoming().take(10) {
            let mut s = s.unwrap();
            let mut b = Vec::new();
            s.read_to_end(&mut b).unwrap();
            b.reverse();
            s.write_all(&b).unwrap();
        }
    });
    let mut total = 0;
    for i in 0..10 {
        let mut s = TcpStream::connect(a).unwrap();
        s.write_all(format!("message {i}").as_bytes()).unwrap();
        s.shutdown(std::net::Shutdown::Write).unwrap();
        let mut b = String::new();
        s.read_to_string(&mut b).unwrap();
        total += b.bytes().map(u32::from).sum::<u32>();
        if i == 9 {
            println!("{b}");
        }
    }
    h.join().unwrap();
    println!("sockets {total}");
}

fn deep(n: u32) -> u64 {
    let room = [n; 64];
    let here = unsafe { std::ptr::read_volatile(&room[(n % 64) as usize]) };
    if n == 0 { 0 } else { deep(n - 1) + u64::from(here) }
}

fn main() {
    if env::args().nth(1).as_deref() == Some("child") {
        print!("child in {}", env::current_dir().unwrap().display());
        exit(8);
    }
    threads();
    panics();
    commands();
    sockets();
    fs::create_dir_all("a/b/c").unwrap();
    for i in 0..20 {
        fs::write(format!("a/b/c/{i:02}"), vec![i; 100]).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir("a/b/c").unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    println!("files {} {:?}", names.len(), names.last());
    println!("deep {}", thread::Builder::new().stack_size(64 << 20).spawn(|| deep(100_000)).unwrap().join().unwrap());
    if env::args().nth(1).as_deref() == Some("overflow") {
        println!("{}", deep(u32::MAX));
    }
    exit(10);
}
