#!/usr/bin/env python3
"""extend.py PORT PCR=TEXT...: what firmware does while a machine boots, to a TPM (swtpm) behind a port of loopback: extend each register with SHA-256 of the text.
TPM2_PCR_Extend: TCG, Trusted Platform Module Library, part 3, 22.2."""

import hashlib
import socket
import struct
import sys


def extend(port, pcr, text):
    digest = hashlib.sha256(text.encode()).digest()
    password = struct.pack(">IHBH", 0x40000009, 0, 0, 0)  # TPM_RS_PW, empty
    body = struct.pack(">II", pcr, len(password)) + password + struct.pack(">IH", 1, 0x000B) + digest
    command = struct.pack(">HII", 0x8002, 10 + len(body), 0x182) + body
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(command)
        answer = s.recv(4096)
    code = struct.unpack(">HII", answer[:10])[2] if len(answer) >= 10 else -1
    if code != 0:
        sys.exit(f"PCR {pcr} is not extended: the TPM answers {code:#x}")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for word in sys.argv[2:]:
        pcr, text = word.split("=", 1)
        extend(int(sys.argv[1]), int(pcr), text)


main()
