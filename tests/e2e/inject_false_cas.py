#!/usr/bin/env python3
"""A CAS that answers wrongly: the runtime refuses each answer with a sentence, and runs nothing.

The false CAS has the key that the runtime was told, so only what it says is wrong. LAS is the real one.
"""
import base64
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time

here = os.path.dirname(os.path.abspath(__file__))
bin_dir = os.path.abspath(os.environ.get("SCONE_BIN", os.path.join(here, "../../build/bin")))
base = tempfile.mkdtemp(prefix="scone-false-cas.")
passed = failed = 0
answers = {}  # path -> (status, body) or bytes sent as they are


def report(name, why):
    global passed, failed
    if why:
        failed += 1
        print(f"not ok {name}: {why}", flush=True)
    else:
        passed += 1
        print(f"ok {name}", flush=True)


def base58check(payload):
    digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    n, text = int.from_bytes(data, "big"), ""
    while n:
        n, d = divmod(n, 58)
        text = digits[d] + text
    return text


def make_identity():
    key, cert = base + "/key.pem", base + "/cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=false", "-keyout", key, "-out", cert],
        check=True, stderr=subprocess.DEVNULL)
    spki = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "der"], check=True, stdout=subprocess.PIPE).stdout
    return key, cert, base58check(b"\x4f" + hashlib.sha256(spki).digest())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        answer = answers[self.path]
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            self.close_connection = True
            return
        status, body = answer
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # the runtime hangs up on nonsense


def text64(text):
    return base64.b64encode(text).decode()


def config(**changes):
    c = {"session": "s", "service": "web", "mode": "simulation", "pwd": "/", "argv": [{"value": text64(b"sh")}, {"value": text64(b"-c")}, {"host": 1}],
         "env": [{"name": "SECRET", "value": text64(b"value-4711")}], "files": [], "secrets": [],
         "code": {"unmeasured": False, "generated": False}, "warnings": [], "volumes": []}
    c.update(changes)
    return json.dumps(c).encode()


def run(address, key):
    command = [bin_dir + "/scone-runtime", "--cas", address, "--cas-key", key, "--las", base + "/las.sock", "--config-id", "s/web", "--", "/bin/sh",
               'echo "ran $SECRET"']
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


nonce = (200, json.dumps({"nonce": "ab" * 32}).encode())
STEP_NONCE, STEP_ATTEST = "get a nonce from CAS", "attest s/web to CAS"


def case(name, wanted, nonce_answer=nonce, attest_answer=(200, config())):
    answers["/v1/attest/nonce"], answers["/v1/attest"] = nonce_answer, attest_answer
    r = run(address, key_hash)
    err = r.stderr.decode(errors="replace")
    why = ""
    if wanted is None:
        if r.returncode != 0 or r.stdout != b"ran value-4711\n":
            why = f"exit code {r.returncode}, printed {r.stdout!r}: {err[-300:]}"
    elif r.returncode != 125 or r.stdout:
        why = f"exit code {r.returncode}, wanted 125, printed {r.stdout!r}: {err[-300:]}"
    elif wanted not in err:
        why = f"'{wanted}' is not in: {err[-400:]}"
    elif any(ord(c) < 32 and c != "\n" for c in err):
        why = f"control characters in {err!r}"
    elif "value-4711" in err or text64(b"value-4711") in err:
        why = "the message shows a secret"
    report(name, why)


def error(status, text):
    return status, json.dumps({"error": {"code": "ATTEST", "text": text}}).encode()


def all_cases():
    case("right answers run the program", None)
    for name, answer in {
        "empty": (200, b""), "no JSON": (200, b"hello"), "a list": (200, b"[]"), "no nonce": (200, b"{}"), "short nonce": (200, b'{"nonce":"abcd"}'),
        "no hex": (200, json.dumps({"nonce": "zz" * 32}).encode()), "long nonce": (200, json.dumps({"nonce": "ab" * 33}).encode()),
        "nonce of another type": (200, b'{"nonce":5}'), "text after it": (200, nonce[1] + b"x"), "two nonces": (200, b'{"nonce":"","nonce":""}'),
        "deep": (200, b"[" * 100000), "no HTTP": b"\x00\x01garbage\r\n\r\n", "hang-up": b"", "cut": b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
        "endless length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
        "long header": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1000000 + b"\r\n\r\n", "refusal": error(403, "certificate wanted"),
        "refusal without text": (500, b"<html>"),
    }.items():
        case(f"nonce: {name}", STEP_NONCE, nonce_answer=answer)
    for name, answer in {
        "empty": (200, b""), "no JSON": (200, b"hello"), "null": (200, b"null"), "nothing in it": (200, b"{}"), "no argv": (200, config(argv=None)),
        "argument without value": (200, config(argv=[{}])), "host argument 0": (200, config(argv=[{"host": 0}])),
        "negative host argument": (200, config(argv=[{"host": -1}])), "broken base64": (200, config(argv=[{"value": "a"}])),
        "unknown mode": (200, config(mode="trusted")), "file mode": (200, config(files=[{"path": "/x", "content": "", "mode": 0o7777777}])),
        "no name": (200, config(env=[{"value": ""}])), "unknown key": (200, config(extra=1)), "not UTF-8": (200, b'{"session":"\xff"}'),
        "17 MiB": (200, config(session="x" * (17 << 20))), "hang-up": b"", "refusal": error(403, "measurement seen AA, wanted BB"),
        "success without content": (204, b""),
    }.items():
        case(f"configuration: {name}", STEP_ATTEST, attest_answer=answer)
    case("refusal's text passes through", "measurement seen AA, wanted BB", attest_answer=error(403, "measurement seen AA, wanted BB"))
    case("without control characters", "evil", attest_answer=error(403, "evil \x1b[31m\x07\r\n text"))
    whole = config(files=[{"path": "/x", "content": text64(b"y"), "mode": 384}], secrets=[{"name": "n", "kind": "ascii", "value": text64(b"v")}])
    for cut in range(1, len(whole), len(whole) // 12):
        case(f"configuration cut at {cut}", STEP_ATTEST, attest_answer=(200, whole[:cut]))
    for name, wanted, changes in [
        ("NUL in an argument", "NUL", {"argv": [{"value": text64(b"a\0b")}]}),
        ("second host argument", "@@2", {"argv": [{"host": 2}]}),
        ("host argument used twice", "twice", {"argv": [{"host": 1}, {"host": 1}]}),
        ("variable with =", "A=B", {"env": [{"name": "A=B", "value": ""}]}),
        ("relative file", "absolute", {"files": [{"path": "x", "content": "", "mode": 384}]}),
        ("file twice", "twice", {"files": [{"path": "/x", "content": "", "mode": 384}] * 2}),
        ("directory as a file", "regular", {"files": [{"path": "/etc", "content": None, "mode": 384}]}),
        ("no such directory", "/nonexistent/pwd", {"pwd": "/nonexistent/pwd"}),
    ]:
        case(f"configuration that cannot be applied: {name}", wanted, attest_answer=(200, config(**changes)))
    r = run(address, base58check(b"\x4f" + b"\0" * 32))
    report("another key than the one told", "" if r.returncode == 125 and key_hash in r.stderr.decode() else r.stderr.decode()[-300:])


las = None
try:
    key_file, cert_file, key_hash = make_identity()
    server = Server(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert_file, key_file)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    address = f"127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(base + "/las.log", "wb") as log:
        las = subprocess.Popen([bin_dir + "/scone-las", "--socket", base + "/las.sock", "--dir", base + "/las"], stdout=log, stderr=log)
    for _ in range(200):
        if os.path.exists(base + "/las.sock"):
            break
        time.sleep(0.05)
    all_cases()
finally:
    if las:
        las.terminate()
        las.wait()
    shutil.rmtree(base)
    print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
