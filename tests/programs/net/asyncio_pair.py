"""asyncio_pair.py serve|run ADDRESS PORT [SECRET]: an echo server; a client that uses it in every way asyncio has, and prints what came back."""

import asyncio
import hashlib
import signal
import socket
import sys
import tempfile

what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


async def echo(r, w):
    while data := await r.read(65536):
        w.write(data)
        await w.drain()
    w.close()


async def serve():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, address, port, backlog=200)
    end = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, end.set)
    async with server:
        await end.wait()


def data_of(i, n, secret):
    line = f"{secret} line of {i}\n".encode()
    return (line * (n // len(line) + 1))[:n]


async def one(i, secret):
    data = data_of(i, 200000 + 17 * i, secret)
    r, w = await asyncio.open_connection(address, port)

    async def send():
        for at in range(0, len(data), 30011):
            w.write(data[at : at + 30011])
            await w.drain()
        w.write_eof()

    sending = asyncio.create_task(send())
    got = await r.read(-1)
    await sending
    w.close()
    await w.wait_closed()
    return got == data


async def lines(secret):
    r, w = await asyncio.open_connection(address, port)
    seen = []
    for i in range(300):
        w.write(f"{secret} {i}\n".encode())
        seen.append(await r.readline())
    w.close()
    await w.wait_closed()
    return hashlib.sha256(b"".join(seen)).hexdigest()


class Collect(asyncio.Protocol):
    def __init__(self, want):
        self.want, self.got, self.done = want, bytearray(), asyncio.get_running_loop().create_future()
        self.paused = 0

    def data_received(self, data):
        self.got += data
        if len(self.got) >= self.want:
            self.transport.close()

    def connection_made(self, transport):
        self.transport = transport

    def pause_writing(self):
        self.paused += 1

    def connection_lost(self, exc):
        self.done.set_result((len(self.got), exc))


async def protocol(secret):
    data = data_of(0, 3000000, secret)
    loop = asyncio.get_running_loop()
    transport, p = await loop.create_connection(lambda: Collect(len(data)), address, port)
    transport.write(data)
    n, why = await p.done
    return n, why, bytes(p.got) == data, p.paused > 0


async def sockets(secret):
    loop = asyncio.get_running_loop()
    data = data_of(9, 1000000, secret)
    s = socket.socket()
    s.setblocking(False)
    await loop.sock_connect(s, (address, port))
    with tempfile.TemporaryFile() as f:
        f.write(data)
        f.seek(0)

        async def read():
            got = bytearray(len(data))
            view, at = memoryview(got), 0
            while at < len(data):
                at += await loop.sock_recv_into(s, view[at:])
            return bytes(got)

        reading = asyncio.create_task(read())
        sent = await loop.sock_sendfile(s, f)
        got = await reading
    s.shutdown(socket.SHUT_WR)
    end = await loop.sock_recv(s, 10)
    s.close()
    return sent, got == data, end


async def cancelled():
    r, w = await asyncio.open_connection(address, port)
    try:
        await asyncio.wait_for(r.read(1), 0.2)
    except asyncio.TimeoutError:
        pass
    w.write(b"after the timeout")
    await w.drain()
    got = await r.readexactly(17)
    w.close()
    return got


async def main(secret):
    print("fifty", sum(await asyncio.gather(*(one(i, secret) for i in range(50)))))
    print("lines", await lines(secret))
    print("protocol", *await protocol(secret))
    print("sockets", *await sockets(secret))
    print("cancelled", await cancelled())


asyncio.run(serve() if what == "serve" else main(sys.argv[4]))
