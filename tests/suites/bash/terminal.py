"""terminal.py FILE: types the lines of FILE to the shell that its first line names, at a new terminal, each after the prompt, and prints
what the terminal showed. In a line, ^C ^Z ^\\ ^D are typed as keys; `@until TEXT` waits for TEXT instead of the prompt; `@none` for nothing;
`@prompt` waits for the prompt now; `@size ROWS COLUMNS` changes the terminal's size."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

PROMPT = "READY> "
PATIENCE = 20


class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["PS1"] = PROMPT
            os.execvp(command[0], command)
        self.text = ""
        self.seen = 0

    def until(self, text):
        end = time.monotonic() + PATIENCE
        while text not in self.text[self.seen :]:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                self.text += f"<no {text!r} after {PATIENCE} s>"
                return False
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                return False
            self.text += data.decode(errors="backslashreplace")
        self.seen = self.text.index(text, self.seen) + len(text)
        return True


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        first, *lines = f.read().splitlines()
    terminal = Terminal([*os.environ["UNDER"].split(), *first.split()])
    going = terminal.until(PROMPT)
    wait = PROMPT
    for line in lines:
        if not going:
            break
        if line.startswith("@size "):
            rows, columns = map(int, line.split()[1:])
            fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            continue
        if line == "@prompt":
            going = terminal.until(PROMPT)
            continue
        if line.startswith("@"):
            wait = line.partition(" ")[2]
            continue
        keys = re.fullmatch(r"\^(.)", line)
        # A program that changes the terminal's modes has done so when it shows what is waited for; what is typed as a key comes alone.
        os.write(terminal.fd, bytes([ord(keys[1]) & 31]) if keys else line.encode() + b"\n")
        if wait:
            # What is typed shows first, and may hold the text waited for.
            going = (bool(keys) or terminal.until("\n")) and terminal.until(wait)
        wait = PROMPT
    while terminal.until("\0"):
        pass
    print(terminal.text.replace("\r", ""), flush=True)
    os.close(terminal.fd)  # whoever is still there hangs up
    print("status", os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]))


main()
