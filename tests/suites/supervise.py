#!/usr/bin/env python3
"""supervise.py SECONDS COMMAND [ARG...]: runs COMMAND in a session of its own and, when it ends or the limit comes, kills everything
it has started, what has become a session or daemon of its own included. Exit status: COMMAND's; 128+N at signal N; 124 at the limit."""

import ctypes
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def children(pid):
    """Processes whose parent is pid, those of all its threads included."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                found += [int(p) for p in f.read().split()]
    except OSError:
        pass
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found.append(child)
        found += descendants(child)
    return found


def kill_all():
    """Until none is left: orphans of those killed become children of this process."""
    while True:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit(f"supervise: prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(ctypes.get_errno())}")

    class Ended(Exception):
        pass

    def end(number, _frame):
        raise Ended(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    pid = 0
    try:
        # Blocked signals and ignored ones are inherited: the command starts with the usual ones.
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            try:
                os.execvp(sys.argv[2], sys.argv[2:])
            except OSError as e:
                os.write(2, f"supervise: {sys.argv[2]}: {e.strerror}\n".encode())
                os._exit(127)
        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
        while True:
            done, status = os.wait()
            if done == pid:
                signal.setitimer(signal.ITIMER_REAL, 0)
                code = os.waitstatus_to_exitcode(status)
                code = 128 - code if code < 0 else code
                break
    except Ended as e:
        code = 124 if e.args[0] == signal.SIGALRM else 128 + e.args[0]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    kill_all()
    return code


if __name__ == "__main__":
    sys.exit(main())
