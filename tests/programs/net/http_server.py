"""http_server.py ADDRESS PORT: an HTTP/1.1 server of Python's own, with threads."""

import hashlib
import http.server
import signal
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/redirect/"):
            self.answer(302, b"", Location=self.path[9:])
        elif self.path.startswith("/chunks/"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(int(self.path[8:])):
                piece = b"chunk %d of the answer\n" % i
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif self.path.startswith("/cut/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"less than a thousand")
            self.close_connection = True
        elif self.path == "/slow/":
            time.sleep(1)
            self.close_connection = True
        elif self.path == "/cookie":
            self.answer(200, (self.headers["Cookie"] or "none").encode(), **{"Set-Cookie": "seen=yes"})
        else:
            self.answer(200, f"{self.path} asked\n".encode() * 100)

    def do_POST(self):
        if self.headers["Transfer-Encoding"] == "chunked":
            body = b""
            while n := int(self.rfile.readline(), 16):
                body += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100


server = Server((sys.argv[1], int(sys.argv[2])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
