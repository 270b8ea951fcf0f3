#!/usr/bin/env python3
"""CPython's own test suite (Debian: libpython3.11-testsuite), one group per test module, one verdict per test method.

A module runs in one process, as it does in CPython's own runner. A method that takes longer than LIMIT seconds, or ends the process, gets
its verdict from here, and a new process goes on with the rest."""

import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3.11"
TESTS = "/usr/lib/python3.11/test"
LIMIT = 150

# module: seconds for one side
MODULES = {
    "test_os": 600,
    "test_posix": 300,
    "test_subprocess": 900,
    "test_signal": 600,
    "test_threading": 600,
    "test_socket": 600,
    "test_multiprocessing_fork": 1200,
    "test_multiprocessing_forkserver": 1500,
    "test_multiprocessing_spawn": 1800,
    "test_multiprocessing_main_handling": 600,
    "test_mmap": 300,
    "test_fcntl": 120,
    "test_select": 120,
    "test_selectors": 300,
    "test_io": 1200,
    "test_shutil": 300,
    "test_tempfile": 300,
    "test_venv": 900,
    "test_pty": 120,
    "test_openpty": 60,
    "test_ioctl": 60,
    "test_epoll": 120,
    "test_poll": 120,
    "test_eintr": 300,
    "test_socketserver": 120,
    "test_concurrent_futures": 1200,
    "test_faulthandler": 600,
    "test_resource": 120,
    "test_pwd": 60,
    "test_grp": 60,
    "test_spwd": 60,
    "test_ssl": 600,
    "test_httplib": 120,
    "test_httpservers": 300,
    "test_urllib2_localnet": 120,
    "test_import": 300,
    "test_importlib": 300,
    "test_cmd_line": 300,
    "test_cmd_line_script": 300,
    "test_gc": 120,
    "test_ctypes": 300,
    "test_dynamic": 60,
    "test_fileio": 60,
    "test_file": 60,
    "test_file_eintr": 120,
    "test_bufio": 120,
    "test_largefile": 120,
    "test_genericpath": 60,
    "test_posixpath": 60,
    "test_pathlib": 300,
    "test_glob": 60,
    "test_fork1": 120,
    "test_wait3": 120,
    "test_wait4": 120,
    "test_popen": 60,
    "test_pipes": 60,
    "test_platform": 120,
    "test_sys": 300,
    "test_sysconfig": 120,
    "test_site": 120,
    "test_thread": 300,
    "test_threadsignals": 120,
    "test_threading_local": 120,
    "test_threadedtempfile": 120,
    "test_queue": 120,
    "test_sched": 60,
    "test_time": 120,
    "test_timeout": 300,
    "test_tracemalloc": 120,
    "test_mailbox": 120,
    "test_tarfile": 300,
    "test_zipfile": 600,
    "test_dbm": 120,
    "test_shelve": 120,
    "test_logging": 300,
    "test_asyncore": 120,
    "test_asynchat": 120,
    "test_ftplib": 300,
    "test_smtplib": 300,
    "test_imaplib": 300,
    "test_telnetlib": 120,
    "test_xmlrpc": 120,
    "test_atexit": 120,
    "test_finalization": 120,
    "test_capi": 600,
    "test_embed": 120,
    "test_crypt": 60,
    "test_getpass": 60,
    "test_readline": 120,
    "test_curses": 120,
    "test_pdb": 600,
    "test_repl": 120,
    "test_runpy": 300,
    "test_py_compile": 60,
    "test_compileall": 600,
    "test_zipimport": 120,
    "test_uuid": 60,
    "test_hashlib": 600,
    "test_exceptions": 300,
}
PACKAGES = ("test_asyncio", "test_importlib")
SHORT = ("test_fcntl", "test_select", "test_mmap", "test_pty", "test_pwd", "test_popen")


def groups():
    """Modules that this Python has; a package that has many counts as its modules."""
    found = {}
    for name, seconds in [*MODULES.items(), ("test_asyncio", 600)]:
        directory = os.path.join(TESTS, name)
        if os.path.isfile(directory + ".py") or (os.path.isdir(directory) and name not in PACKAGES):
            found[name] = seconds
        elif os.path.isdir(directory):
            for module in sorted(os.listdir(directory)):
                if module.startswith("test_") and module.endswith(".py"):
                    found[f"{name}.{module[:-3]}"] = seconds
    return found


def last_line(path):
    """Test, verdict and age in seconds of the last line of the verdicts."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        test, verdict = lines[-1].split("\t")[:2]
        return test, verdict, time.time() - os.stat(path).st_mtime
    except (FileNotFoundError, IndexError, ValueError):
        return "", "", 0.0


def add(path, test, verdict, detail):
    with open(path, "a", encoding="utf-8") as f:
        f.write(f"{test}\t{verdict}\t{detail}\n")


def run_module(group, only, directory):
    """Until a process has come to the end of the module, or two in a row have come no further."""
    path = os.path.join(directory, "verdicts")
    only_path = os.path.join(directory, "only")
    with open(only_path, "w", encoding="utf-8") as f:
        f.write("".join(o + "\n" for o in only))
    command = [os.environ["SUITE_SUPERVISE"], "100000", *os.environ["UNDER"].split(), PYTHON]
    command += [os.path.join(HERE, "cpython", "run_tests.py"), group, path, only_path]
    env = {k: v for k, v in os.environ.items() if k in ("LANG", "HOME", "TMPDIR")}
    env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    while True:
        before = last_line(path)[0]
        cwd = os.path.join(directory, "cwd")
        subprocess.run(["rm", "-rf", cwd], check=False)
        os.mkdir(cwd)
        with subprocess.Popen(command, cwd=cwd, env=env) as p:
            begun = time.time()
            while p.poll() is None:
                time.sleep(0.1)
                test, verdict, age = last_line(path)
                if min(age, time.time() - begun) > LIMIT:
                    p.terminate()
                    status = p.wait()
                    break
            else:
                status = p.returncode
        test, verdict, _ = last_line(path)
        if test == f"{group}:done" or (test == f"{group}:module" and verdict == "skip"):
            add(path, f"{group}:end", "ok" if status == 0 else "crash" if status > 128 and status != 143 else "fail", f"status {status}")
            return
        if verdict == "hang" and status != 143:
            add(path, test, "crash" if status > 128 else "fail", f"the process ended with status {status}")
        elif test == before:
            add(path, f"{group}:end", "broken", f"status {status}, no further than {test}")
            return


def main():
    if not os.access(PYTHON, os.X_OK) or not os.path.isfile(os.path.join(TESTS, "test_os.py")):
        print(f"{PYTHON} or {TESTS} is missing (libpython3.11-testsuite)")
        return 77
    if sys.argv[1:2] == ["--list"]:
        for name, seconds in groups().items():
            if "--short" not in sys.argv or name in SHORT:
                print(f"{name}\t{seconds}")
        return 0
    directory, tests = sys.argv[1], sys.argv[2:]
    wanted = {}
    for test in tests:
        group, _, sub = test.partition(":")
        wanted.setdefault(group, []).append(sub)
    for group, subs in wanted.items():
        # Verdicts that are no tests of the module ask for all of it.
        whole = not all(subs) or {"module", "end", "done"} & set(subs) or any(" " in s for s in subs)
        run_module(group, [] if whole else subs, directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
