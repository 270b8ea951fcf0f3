"""The list of pairs. A pair is a function of a Run that starts programs on both sides and returns what they gave: {what: value}. It is called twice,
natively and shielded; the values have to be the same. `secret` is text of the pair that must be seen in the one capture and not in the other."""

import hashlib
import os
import secrets

PAIRS = []


class Pair:
    def __init__(self, function, needs, ports, marks, short):
        self.name = function.__name__.replace("_", "-")
        self.what = function.__doc__
        self.function, self.needs, self.ports, self.short = function, needs, ports, short
        self.secret = f"secret-{secrets.token_hex(12)}"
        self.marks = [self.secret, *marks]


def pair(*needs, ports, marks=(), short=False):
    """ports: what the rules name. marks: more text that the native capture has and the other has not."""

    def add(function):
        PAIRS.append(Pair(function, needs, ports, marks, short))
        return function

    return add


def sum_of(data):
    return f"{len(data)} bytes, {hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:16]}"


def filler(n, secret, seed=1):
    """n bytes that no compression makes smaller, with the secret in them every 64 KiB; the same in every run."""
    out, block = bytearray(), hashlib.sha256(str(seed).encode()).digest()
    while len(out) < n:
        if len(out) % 65536 == 0:
            out += secret.encode().ljust(64, b".")
        out += (block := hashlib.sha256(block).digest())
    return bytes(out[:n])


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data.encode() if isinstance(data, str) else data)
    return path
