#!/usr/bin/env python3
"""Files as arrays of bytes in C: embed.py HEADER NAME=FILE..., to standard output. HEADER declares them, as `const char NAME[]` and `const size_t NAME_len`."""

import sys

header, files = sys.argv[1], sys.argv[2:]
print(f'#include "{header}"')
for word in files:
    name, path = word.split("=", 1)
    with open(path, "rb") as f:
        data = f.read()
    print(f"const char {name}[] = {{")
    for at in range(0, len(data), 24):
        print("\t" + " ".join(f"{b}," for b in data[at : at + 24]))
    print(f"}};\nconst size_t {name}_len = {len(data)};")
