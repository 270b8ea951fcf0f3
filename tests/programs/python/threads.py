"""Threads, locks, thread pools, many short threads, a socket server on the loopback."""
import concurrent.futures
import hashlib
import queue
import socket
import threading
import time

total = 0
lock = threading.Lock()


def add(n):
    global total
    for _ in range(n):
        with lock:
            total += 1


threads = [threading.Thread(target=add, args=(5000,)) for _ in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("total", total)

q = queue.Queue(maxsize=4)
out = []


def consume():
    while (item := q.get()) is not None:
        out.append(item * item)


c = threading.Thread(target=consume)
c.start()
for i in range(1000):
    q.put(i)
q.put(None)
c.join()
print("squares", sum(out))

with concurrent.futures.ThreadPoolExecutor(16) as ex:
    digests = list(ex.map(lambda i: hashlib.sha256(bytes(100000) + bytes([i])).hexdigest()[:8], range(64)))
print(digests[0], digests[-1])

for _ in range(300):
    t = threading.Thread(target=lambda: None)
    t.start()
    t.join()

barrier = threading.Barrier(5)
event = threading.Event()
order = []


def wait_here(i):
    barrier.wait()
    event.wait()
    with lock:
        order.append(i)


ws = [threading.Thread(target=wait_here, args=(i,)) for i in range(4)]
for w in ws:
    w.start()
barrier.wait()
event.set()
for w in ws:
    w.join()
print("released", sorted(order))

server = socket.create_server(("127.0.0.1", 0))


def serve():
    for _ in range(20):
        s, _ = server.accept()
        with s:
            s.sendall(s.recv(100).upper())


sv = threading.Thread(target=serve)
sv.start()
answers = []
for i in range(20):
    with socket.create_connection(server.getsockname()) as s:
        s.sendall(f"message {i}".encode())
        answers.append(s.recv(100))
sv.join()
print(answers[-1])
t0 = time.monotonic()
print("no event:", threading.Event().wait(0.05), time.monotonic() - t0 >= 0.049)
