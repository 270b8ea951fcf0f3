"""loops.py NAME REPEAT: milliseconds of one loop of Python, the median of REPEAT times after one to warm up.

Small loops in the manner of the usual Python benchmarks, written for this one: what an interpreter does most, without start and input.
"""

import json
import pickle
import random
import re
import statistics
import sys
import time
import zlib


def nbody():
    """Five bodies, floating point and attributes of lists."""
    bodies = [[i * 1.3 + 0.1, i * 0.7 - 1, i * 0.2, 0.01 * i, 0.02, -0.01 * i, 1.0 / (i + 1)] for i in range(5)]
    pairs = [(a, b) for n, a in enumerate(bodies) for b in bodies[n + 1:]]
    for _ in range(6000):
        for a, b in pairs:
            dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
            pull = 0.001 / (dx * dx + dy * dy + dz * dz) ** 1.5
            for body, weight in ((a, -b[6]), (b, a[6])):
                body[3] += dx * pull * weight
                body[4] += dy * pull * weight
                body[5] += dz * pull * weight
        for body in bodies:
            for axis in range(3):
                body[axis] += 0.001 * body[3 + axis]


DOCUMENT = {"rows": [{"id": n, "name": f"row {n}", "price": n * 1.25, "tags": ["a", "b", str(n)], "ok": n % 2 == 0} for n in range(900)]}
TEXT = json.dumps(DOCUMENT)


def dumps_loads():
    for _ in range(12):
        if json.loads(json.dumps(DOCUMENT)) != DOCUMENT:
            raise ValueError("json: other data came back")


def pickles():
    for _ in range(40):
        if pickle.loads(pickle.dumps(DOCUMENT, 4)) != DOCUMENT:
            raise ValueError("pickle: other data came back")


def regex():
    words = re.compile(r'"name": "row (\d+)"|\b([a-z]{2,})\b')
    numbers = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")
    for _ in range(10):
        if sum(1 for _ in words.finditer(TEXT)) < 900 or len(numbers.findall(TEXT)) != 900:
            raise ValueError("regex: other matches")


class Task:
    def __init__(self, name, neighbour):
        self.name, self.neighbour, self.queue, self.done = name, neighbour, [], 0

    def step(self, tasks):
        if not self.queue:
            return False
        packet = self.queue.pop(0)
        self.done += 1
        if packet["hops"]:
            packet["hops"] -= 1
            packet["sum"] = (packet["sum"] * 31 + len(self.name) + packet["hops"]) & 0xffffffff
            tasks[self.neighbour].queue.append(packet)
        return True


def scheduler():
    """Tasks that hand packets on: method calls, attributes, dictionaries."""
    names = [f"task{n}" for n in range(12)]
    tasks = {name: Task(name, names[(n * 5 + 1) % len(names)]) for n, name in enumerate(names)}
    for n in range(40):
        tasks[names[n % len(names)]].queue.append({"hops": 1500, "sum": n})
    while any([task.step(tasks) for task in tasks.values()]):
        pass
    if sum(task.done for task in tasks.values()) != 40 * 1501:
        raise ValueError("scheduler: packets were lost")


def containers():
    """Strings, dictionaries, sorting, compression."""
    draw = random.Random(7)
    words = [f"{draw.random():.6f}" for _ in range(20000)]
    count = {}
    for word in words:
        count[word[:5]] = count.get(word[:5], 0) + 1
    joined = "\n".join(sorted(words, key=lambda word: word[::-1])).encode()
    if zlib.decompress(zlib.compress(joined, 3)) != joined or sum(count.values()) != len(words):
        raise ValueError("containers: other data came back")


LOOPS = {"nbody": nbody, "json": dumps_loads, "pickle": pickles, "regex": regex, "scheduler": scheduler, "containers": containers}


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in LOOPS or not sys.argv[2].isdecimal() or int(sys.argv[2]) < 1:
        sys.exit(f"usage: loops.py {'|'.join(LOOPS)} REPEAT")
    loop, times = LOOPS[sys.argv[1]], []
    for _ in range(int(sys.argv[2]) + 1):
        began = time.perf_counter()
        loop()
        times.append(time.perf_counter() - began)
    print(f"{statistics.median(times[1:]) * 1000:.3f}")


main()
