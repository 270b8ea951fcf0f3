"""Child processes in every way Python has: subprocess, os.fork, multiprocessing (fork and spawn), asyncio; signals and their handlers."""
import asyncio
import errno
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import threading


def run(*a, **k):
    return subprocess.run(a, capture_output=True, text=True, **k)


def square(x):
    return x * x


async def many():
    async def one(i):
        p = await asyncio.create_subprocess_exec(
            sys.executable if i == 0 else "sh", *(["-c", "print('py')"] if i == 0 else ["-c", f"echo {i}; exit {i}"]), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await p.communicate()
        return out.decode().strip(), p.returncode

    print(await asyncio.gather(*(one(i) for i in range(6))))
    p = await asyncio.create_subprocess_shell("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await p.communicate(b"x" * 200000)
    print("through cat", len(out))
    p = await asyncio.create_subprocess_exec("sleep", "60")
    p.terminate()
    print("terminated", await p.wait())
    loop = asyncio.get_running_loop()
    got = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR2, got.set)
    os.kill(os.getpid(), signal.SIGUSR2)
    await asyncio.wait_for(got.wait(), 10)
    print("signal in the loop")


def main():
    r = run("sh", "-c", "echo out; echo err >&2; exit 7")
    print(r.stdout.strip(), r.stderr.strip(), r.returncode)
    print(run("cat", input="a\n" * 50000).stdout.count("a"))
    for cmd in ("absent-command", "./not-executable", "./no-shebang"):
        if cmd == "./not-executable":
            open("not-executable", "w").close()
        if cmd == "./no-shebang":
            with open("no-shebang", "w") as f:
                f.write("echo\n")
            os.chmod("no-shebang", 0o755)
        try:
            subprocess.run([cmd])
        except OSError as e:
            print(cmd, errno.errorcode[e.errno])
    print(run("pwd", cwd="/").stdout.strip(), run("sh", "-c", "echo $A-$B", env={"A": "1", "B": "2"}).stdout.strip())
    print("killed by", run("sh", "-c", "kill -9 $$").returncode)
    print(run("sh", "-c", "exit 3", preexec_fn=os.setsid).returncode)
    try:
        run("sleep", "30", timeout=0.2)
    except subprocess.TimeoutExpired:
        print("timeout")
    r, w = os.pipe()
    p = subprocess.Popen(["sh", "-c", f"echo passed >&{w}"], pass_fds=[w])
    os.close(w)
    p.wait()
    print(os.read(r, 100))
    pid = os.fork()
    if pid == 0:
        os._exit(5)
    print("forked", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    counts = {"usr1": 0, "alarm": 0}
    signal.signal(signal.SIGUSR1, lambda *_: counts.__setitem__("usr1", counts["usr1"] + 1))
    for _ in range(100):
        os.kill(os.getpid(), signal.SIGUSR1)
    print("handled", counts["usr1"])
    signal.signal(signal.SIGALRM, lambda *_: counts.__setitem__("alarm", counts["alarm"] + 1))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    n = 0
    while counts["alarm"] < 30:
        n += sum(range(100)) - 4950
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("alarms, sum", n)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    print("waited for", signal.sigwait([signal.SIGUSR1]).name, counts["usr1"])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])

    # Threads that start processes at the same time.
    results = [None] * 8

    def spawn(i):
        results[i] = [run("sh", "-c", f"exit {i}").returncode for _ in range(5)]

    ts = [threading.Thread(target=spawn, args=(i,)) for i in range(8)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    print(results)

    for method in ("fork", "spawn"):
        ctx = mp.get_context(method)
        with ctx.Pool(3) as pool:
            print(method, sum(pool.map(square, range(200))))
        q = ctx.Queue()
        p = ctx.Process(target=q.put, args=({"from": "child"},))
        p.start()
        print(q.get(), p.join(), p.exitcode)
    shared = mp.Value("i", 0)

    def bump():
        for _ in range(500):
            with shared.get_lock():
                shared.value += 1

    ctx = mp.get_context("fork")
    ps = [ctx.Process(target=bump) for _ in range(4)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    print("shared", shared.value)
    asyncio.run(many())
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import sys; print('replaced', sys.argv[1:]); sys.exit(19)", "a", "b c"])
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
