#!/usr/bin/env python3
"""A manual page in scdoc's language, made from what a program says of itself.

man.py PROGRAM SECTION FILE: PROGRAM --help, for `scone` the help of every verb, then FILE (docs/man/NAME.scd), which has what --help does not
tell: a first line that says what the program is, then whole sections; where there are verbs, DESCRIPTION is the first.
"""

import os
import re
import subprocess
import sys

OPTION = re.compile(r"^ {2,6}((?:-\w, )?--[\w-]+(?:[ =][^ ]+(?:\|[^ ]+)*)?(?:, --[\w-]+)*)(?: {1,}(?=\S)(.*))?$")


def escaped(text):
    """Words of a program as plain text of scdoc."""
    text = re.sub(r"([\\*_<>#|`~\[])", r"\\\1", text)
    return re.sub(r"^([-.])", r"\\\1", text)


def said(command):
    """What it prints; a program that does not answer stops the build."""
    run = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=True, timeout=60)
    if not run.stdout.strip():
        sys.exit(f"man.py: {' '.join(command)} prints nothing")
    return run.stdout.splitlines()


def option_lines(line):
    """The option and what follows on its line, split where two blanks or the end of its argument are."""
    match = OPTION.match(line)
    if not match:
        return None
    words = line.strip()
    at = re.search(r" {2,}", words)
    return (words[: at.start()], words[at.end() :]) if at else (match[1], match[2] or "")


def body(lines):
    """Paragraphs and options of a help text."""
    out, texts, option = [], [], None

    def flush():
        if option is not None:
            out.extend(["*" + escaped(option).replace(" ", "* ", 1) + ("" if " " in option else "*"), "\t" + escaped(" ".join(texts) or "."), ""])
        elif texts:
            out.extend([escaped(" ".join(texts)), ""])
        texts.clear()

    for line in lines:
        found = option_lines(line)
        if found:
            flush()
            option = found[0]
            if found[1]:
                texts.append(found[1])
        elif not line.strip():
            flush()
            option = None
        elif option is not None and not line.startswith("    "):
            flush()
            option = None
            texts.append(line.strip())
        else:
            texts.append(line.strip())
    flush()
    return [line if line != "\t." else "\tSee above." for line in out]


def page(program, section, extra):
    name = os.path.basename(program)
    text = said([program, "--help"])
    with open(extra, encoding="utf-8") as f:
        what, rest = f.read().split("\n", 1)
    out = [f"{name}({section})", "", "# NAME", "", f"{name} - {what}", "", "# SYNOPSIS", ""]
    usage = re.sub(r"^usage: ", "", text[0], flags=re.I)
    out += [f"*{name}*{escaped(usage[len(name):])}", ""]
    verbs = [m[1] for m in (re.match(rf"  {name} ([a-z-]+(?: [a-z-]+)*) +[A-Z]", line) for line in text) if m]
    if not verbs:
        out += ["# DESCRIPTION", ""] + body(text[1:])
    else:
        description, mark, rest = rest.partition("\n# ")
        out += [description, "# VERBS", ""]
        rest = mark[1:] + rest
        for verb in verbs:
            lines = said([program, *verb.split(), "--help"])
            # What every verb has in common is told once, in the page itself.
            lines = [line for line in lines if not re.match(r"exit codes: 0 done|            6 conflict|options:|  -h, --help", line)]
            usage = lines[0][len(f"usage: {name} {verb}") :]
            out += [f"## {name} {verb}", "", f"*{name} {verb}*{escaped(usage)}", ""] + body(lines[1:])
    return "\n".join(out) + "\n" + rest


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.stdout.write(page(*sys.argv[1:]))


if __name__ == "__main__":
    main()
