"""Compares the results of two runs of job.py: compare.py WANTED SEEN prints "QUERY ROWS equal" or what differs, for each query of WANTED."""

import json
import sys


def difference(wanted, seen):
    if seen is None:
        return "not asked"
    if len(wanted) != len(seen):
        return f"{len(seen)} rows; {len(wanted)} are wanted"
    return next((f"row {i}: {s}; wanted {w}" for i, (w, s) in enumerate(zip(wanted, seen)) if w != s), "")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: compare.py WANTED SEEN")
    wanted, seen = (json.load(open(name, encoding="utf-8"))["queries"] for name in sys.argv[1:])
    for name, query in wanted.items():
        rows = query["rows"]
        what = difference(rows, seen.get(name, {}).get("rows")) if rows else "no rows, which shows nothing"
        print(name, len(rows), what or "equal")


main()
