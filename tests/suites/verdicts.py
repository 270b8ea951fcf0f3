"""Verdicts of tests: reading, comparing, and the table. No part of this runs anything."""

import collections
import fnmatch
import os

# kind: same, natively, once, explained, different, cannot
Result = collections.namedtuple("Result", "suite test kind why runs")

KINDS = (
    ("different", "different"),
    ("explained", "explained in docs/conformance.md"),
    ("natively", "differs natively"),
    ("once", "differed once, not when repeated"),
    ("cannot", "not run"),
)


def read(path):
    """DIR/verdicts: the last line of a test counts; a line without its end was being written when the limit came."""
    found = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                fields = line.rstrip("\n").split("\t", 2)
                if not line.endswith("\n") or len(fields) < 2 or not fields[0] or not fields[1]:
                    continue
                found.pop(fields[0], None)
                found[fields[0]] = (fields[1], fields[2] if len(fields) > 2 else "")
    except FileNotFoundError:
        pass
    return found


def summary(found):
    counts = collections.Counter(verdict.split(":")[0] for verdict, _ in found.values())
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()) or "no verdicts"


def by_test(runs):
    """{test: [(under, verdict, detail) per run]}. A run after the first knows only the tests that were repeated."""
    tests = {}
    for _, found in runs:
        for test in found:
            tests.setdefault(test, None)
    first = [i for i, (_, found) in enumerate(runs) if not is_repeat(runs, i)]
    for test in tests:
        tests[test] = [
            (under, *found.get(test, ("absent", ""))) for i, (under, found) in enumerate(runs) if i in first or test in found
        ]
    return tests


def is_repeat(runs, i):
    """The first runs are native, runtime and perhaps native again; what follows are repetitions in pairs."""
    length = 3 if len(runs) % 2 else 2
    return i >= length


def explanations(path):
    """Rows `| suite | test | why |` of the tables in a document: [(suite pattern, test pattern, why)]."""
    rows = []
    try:
        with open(path, encoding="utf-8") as f:
            inside = False
            for line in f:
                cells = [c.strip().strip("`") for c in line.strip().strip("|").split(" | ")]
                if not line.startswith("|"):
                    inside = False
                elif [c.lower() for c in cells] == ["suite", "test", "why"]:
                    inside = True
                elif inside and len(cells) == 3 and not cells[0].startswith("-"):
                    rows.append(tuple(cells))
    except FileNotFoundError:
        pass
    return rows


def explanation(rows, suite, test):
    for suite_pattern, test_pattern, why in rows:
        if fnmatch.fnmatchcase(suite, suite_pattern) and fnmatch.fnmatchcase(test, test_pattern):
            return why
    return None


def ends(words):
    """What a verdict says without the digest of an output."""
    return {word.split(":")[0] for word in words}


def never_twice(native):
    """An output that is another one each time, with a time or a number of a process in it: there is nothing to find it among."""
    return len(native) >= 4 and len(set(native)) == len(native)


def judge(group, rows, short):
    """One Result per test of a group."""
    if group.cannot:
        return [Result(group.suite, group.name, "cannot", group.cannot, "")]
    results = []
    for test, runs in by_test(group.runs).items():
        if group.only and not any(fnmatch.fnmatchcase(test, o) for o in group.only) and test != group.name:
            continue
        native = [v for under, v, _ in runs if not under]
        scone = [v for under, v, _ in runs if under]
        text = f"native {counted(native)}; runtime {counted(scone)}"
        detail = next((d for under, v, d in runs if under and d and v not in native), "")
        if len(set(native + scone)) == 1:
            kind, why = "same", native[0]
        elif len(set(native)) > 1 and (set(native) & set(scone) or never_twice(native) and ends(native) >= ends(scone)):
            kind, why = "natively", text
        elif len(set(native)) == 1 and len(scone) > 1 and scone[0] not in native and set(scone[1:]) == set(native):
            kind, why = "once", text
        else:
            kind, why = "different", text + (f" ({detail})" if detail else "")
            explained = explanation(rows, group.suite, test)
            if explained:
                kind, why = "explained", f"{text}: {explained}"
        results.append(Result(group.suite, test, kind, why, " ".join(("S:" if u else "N:") + v for u, v, _ in runs)))
    return results


def counted(words):
    counts = collections.Counter(words)
    return ", ".join(word if n == len(words) else f"{word} {n}/{len(words)}" for word, n in counts.most_common())


def report(results, out, short):
    """Prints the table and the named differences, writes both and every verdict to out. Returns the exit status."""
    lines = ["| suite | tests | same as native | " + " | ".join(title for _, title in KINDS) + " |"]
    lines.append("|" + " --- |" * (3 + len(KINDS)))
    for suite in dict.fromkeys(r.suite for r in results):
        own = [r for r in results if r.suite == suite]
        counts = collections.Counter(r.kind for r in own)
        cells = [suite, len(own) - counts["cannot"], counts["same"]] + [counts[kind] for kind, _ in KINDS]
        lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    lines.append("")
    for kind, title in KINDS:
        named = [r for r in results if r.kind == kind]
        if named:
            lines.append(f"{title}:")
            lines.append("")
            lines += [f"- {r.suite} {r.test}: {r.why}" for r in named]
            lines.append("")
    text = "\n".join(lines)
    print(text)
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "table.md"), "w", encoding="utf-8") as f:
        f.write(text)
    with open(os.path.join(out, "results.tsv"), "w", encoding="utf-8") as f:
        f.writelines("\t".join((r.suite, r.test, r.kind, r.runs, r.why.replace("\t", " "))) + "\n" for r in results)
    wrong = {"different"} if short else {"different", "cannot"}
    if short:
        return report_groups(results, wrong)
    failed = sum(r.kind in wrong for r in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def report_groups(results, wrong):
    """One line per group, for scripts/check.sh."""
    failed = 0
    groups = list(dict.fromkeys((r.suite, r.test.split(":")[0]) for r in results))
    for suite, group in groups:
        own = [r for r in results if r.suite == suite and r.test.split(":")[0] == group]
        bad = [r for r in own if r.kind in wrong]
        failed += bool(bad)
        if bad:
            print(f"not ok {suite} {group}: {len(bad)} of {len(own)} tests differ: {bad[0].test}: {bad[0].why}")
        else:
            print(f"ok {suite} {group} ({len(own)} tests)")
    print(f"{len(groups) - failed} passed, {failed} failed")
    return 1 if failed else 0
