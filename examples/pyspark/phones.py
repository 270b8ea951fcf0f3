"""Telephone numbers, which only the holder of the key can read: AES-256-GCM, bound to the customer's number.

Used by seal.py, which encrypts the column, and by the Python workers of job.py, each of which reads the key's file itself: the key is in no
task, in no closure and in no message between driver, JVM and workers.
"""

import base64
import functools
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12


@functools.lru_cache(maxsize=1)
def cipher(path):
    with open(path, encoding="ascii") as f:
        key = bytes.fromhex(f.read())
    if len(key) != 32:
        raise ValueError(f"{path}: a key of {len(key)} bytes; 32 are wanted")
    return AESGCM(key)


def seal(path, customer, phone):
    nonce = os.urandom(NONCE)
    return base64.b64encode(nonce + cipher(path).encrypt(nonce, phone.encode(), b"%d" % customer)).decode()


def unseal(path, customer, sealed):
    raw = base64.b64decode(sealed, validate=True)
    try:
        return cipher(path).decrypt(raw[:NONCE], raw[NONCE:], b"%d" % customer).decode()
    except InvalidTag:
        raise ValueError(f"the telephone number of customer {customer} was not sealed with the key in {path}") from None
