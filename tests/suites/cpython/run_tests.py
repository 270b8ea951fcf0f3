"""run_tests.py GROUP VERDICTS ONLY: the tests of test.GROUP in this process, a line in VERDICTS before and after each.

ONLY is a file with the tests wanted (all if empty); a test that VERDICTS has already is left out. In the way of test.libregrtest, but
with results by test method and without what would differ from run to run: no network, no files of gigabytes, no random order."""

import faulthandler
import importlib
import os
import sys
import unittest

RESOURCES = ("cpu", "subprocess", "walltime", "curses")


class Writer:
    """Opened for each line: tests count, close and inherit descriptors."""

    def __init__(self, path, group):
        self.path, self.group, self.pid = path, group, os.getpid()

    def write(self, test, verdict, detail=""):
        if os.getpid() != self.pid:
            return  # a forked child of a test that came back to its runner
        detail = " ".join(str(detail).split())[:300]
        name = f"{self.group}:{test}".replace("\t", " ").replace("\n", " ")
        with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as f:
            f.write(f"{name}\t{verdict}\t{detail}\n")

    def known(self):
        found = set()
        try:
            with open(self.path, encoding="utf-8", errors="backslashreplace") as f:
                found = {line.split("\t")[0].partition(":")[2] for line in f}
        except FileNotFoundError:
            pass
        return found


def short_id(test, group):
    name = test.id()
    for prefix in (f"test.{group}.", f"test.{group.split('.')[0]}."):
        name = name.removeprefix(prefix)
    return name


class Result(unittest.TestResult):
    def __init__(self, writer, group):
        super().__init__()
        self.writer, self.group = writer, group
        self.verdict, self.detail = "ok", ""

    def startTest(self, test):
        super().startTest(test)
        self.verdict, self.detail = "ok", ""
        self.writer.write(short_id(test, self.group), "hang", "not done")
        sys.stderr.write(f"== {test.id()}\n")
        sys.stderr.flush()

    def stopTest(self, test):
        super().stopTest(test)
        self.writer.write(short_id(test, self.group), self.verdict, self.detail)

    def note(self, test, verdict, detail):
        if not isinstance(test, unittest.TestCase):  # setUpClass, tearDownModule, …
            self.writer.write(short_id(test, self.group), verdict, detail)
            return
        order = ("ok", "skip", "xfail", "xpass", "fail", "error")
        if order.index(verdict) >= order.index(self.verdict):
            self.verdict, self.detail = verdict, detail

    def wrong(self, test, verdict, err):
        sys.stderr.write(self._exc_info_to_string(err, test) if isinstance(test, unittest.TestCase) else f"{err}\n")
        self.note(test, verdict, f"{err[0].__name__}: {err[1]}")

    def addError(self, test, err):
        self.wrong(test, "error", err)

    def addFailure(self, test, err):
        self.wrong(test, "fail", err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.wrong(test, "fail" if issubclass(err[0], test.failureException) else "error", err)

    def addSkip(self, test, reason):
        self.note(test, "skip", reason)

    def addExpectedFailure(self, test, err):
        self.note(test, "xfail", err[1])

    def addUnexpectedSuccess(self, test):
        self.note(test, "xpass", "")


def flat(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flat(item)
        else:
            yield item


def main():
    group, path, only_path = sys.argv[1:]
    del sys.argv[1:]
    from test import support

    faulthandler.enable(all_threads=True)
    support.use_resources = list(RESOURCES)
    support.verbose = False
    writer = Writer(path, group)
    with open(only_path, encoding="utf-8") as f:
        only = set(f.read().splitlines())
    try:
        module = importlib.import_module("test." + group)
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    except unittest.SkipTest as e:
        writer.write("module", "skip", e)
        return
    done = writer.known()
    tests = [t for t in flat(suite) if short_id(t, group) not in done and (not only or short_id(t, group) in only)]
    unittest.TestSuite(tests).run(Result(writer, group))
    support.reap_children()
    writer.write("done", "ok")


if __name__ == "__main__":
    main()
