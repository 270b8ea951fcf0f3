"""scan_memory.py PID TEXT: how often TEXT occurs in the memory of a process, as far as its /proc/PID/mem can be read."""
import sys

STEP = 1 << 20
PAGE = 4096


def count(pid, needle):
    found = 0
    with open(f"/proc/{pid}/maps") as maps:
        ranges = [[int(x, 16) for x in line.split()[0].split("-")] for line in maps if "[v" not in line]
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for start, end in ranges:
            tail = b""
            while start < end:
                try:
                    mem.seek(start)
                    data = mem.read(min(STEP, end - start))
                except OSError:
                    data = b""
                if not data:
                    start += PAGE
                    tail = b""
                    continue
                found += (tail + data).count(needle)
                tail = data[-len(needle) + 1 :]
                start += len(data)
    return found


print(count(sys.argv[1], sys.argv[2].encode()))
