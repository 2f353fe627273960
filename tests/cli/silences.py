"""
How long commands are silent: each command of the help page, on files of several sizes, in a terminal and in a pipe.

    python -m tests.cli.silences                        10, 100 and 1,000 rows, both cores loaded; one JSON line
    python -m tests.cli.silences --rows 10 --load 0     quickly

A silence is a time in which a running command writes nothing to either stream; the one before its first sign, in which
Python starts, counts as well. The bases are tiny; what takes long is loading, and the other programs.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine.tiny_bases import make_folder

LIMIT_SECONDS = 5.0
ROWS = (10, 100, 1_000)
MODEL = "numbers"


@dataclass(frozen=True, slots=True)
class Heard:
    """A command that ran: its exit status, how long it took, its longest silence, and what it wrote."""

    command: str
    place: str  # terminal or pipe
    status: int
    seconds: float
    silence: float
    text: str


def commands(folder: Path, rows: int) -> list[list[str]]:
    """Return the commands that work on something, in an order in which each finds what it needs."""
    data = str(folder / f"{rows}.csv")
    to = str(folder / "made")
    quick = ["--base-model", "tiny", "--epochs", "1"]
    return [
        ["bases", "add", str(folder / "base"), "--name", "tiny"],
        ["bases", "list"],
        ["bases", "pull", "tiny"],
        ["bases", "export", "tiny", "--to", f"{to}-base"],
        ["data", "preview", data],
        ["data", "check", data, "--base-model", "tiny"],
        ["data", "surgery", data, "--base-model", "tiny"],
        ["tune", data, *quick, "--id", MODEL, "--hold-out", "20%", "--yes"],
        ["evaluate", MODEL, "--rows", "100"],
        ["evaluate", MODEL, data, "--folds", "2", "--rows", "100"],
        ["generate", MODEL, "17", "--max-output-tokens", "4"],
        ["generate", MODEL, "--input", data, "--output", f"{to}.csv", "--max-output-tokens", "4"],
        ["data", "curve", data, *quick],
        ["models", "list"],
        ["models", "show", MODEL],
        ["models", "card", MODEL],
        ["models", "use", MODEL, "1"],
        ["models", "export", MODEL, "--to", f"{to}-adapter", "--no-prove"],
        ["models", "export", MODEL, "--to", f"{to}-gguf", "--format", "gguf", "--no-prove"],
        ["backup", f"{to}.tar"],
        ["restore", f"{to}.tar"],  # refused: there are models
        ["doctor"],
        ["keys", "list"],
        ["users", "list"],
        ["models", "delete", MODEL, "--yes"],
    ]


def heard(command: Sequence[str], home: Path, *, in_terminal: bool) -> Heard:
    """Run a command and listen to both of its streams."""
    environment = {**os.environ, "TUNERY_HOME": str(home), "TERM": "xterm", "COLUMNS": "80"}
    parts = [sys.executable, "-m", "tunery", *command]
    ours, theirs = pty.openpty() if in_terminal else os.pipe()
    begin = last = time.monotonic()
    process = subprocess.Popen(parts, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    text, silence = b"", 0.0
    while True:
        ready, _, _ = select.select([ours], [], [], 0.05)
        now = time.monotonic()
        silence = max(silence, now - last)
        if ready:
            piece = _read(ours)
            if not piece:
                break
            text, last = text + piece, now
    os.close(ours)
    status, place = process.wait(), "terminal" if in_terminal else "pipe"
    return Heard(" ".join(command), place, status, time.monotonic() - begin, silence, text.decode(errors="replace"))


def listened(folder: Path, rows: int) -> Iterator[Heard]:
    """Run all commands on a file of so many rows, in a terminal and in a pipe."""
    write_rows(folder / f"{rows}.csv", rows)
    for in_terminal in (True, False):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            make_folder(Path(own) / "base")
            write_rows(Path(own) / f"{rows}.csv", rows)
            for command in commands(Path(own), rows):
                yield heard(command, Path(own) / "home", in_terminal=in_terminal)


def write_rows(path: Path, rows: int) -> None:
    """Write a file of numbers and whether they are even."""
    lines = [f"the number {number},{'even' if number % 2 == 0 else 'odd'}" for number in range(rows)]
    path.write_text("\n".join(["message,kind", *lines]) + "\n")


@contextmanager
def loaded_cores(programs: int) -> Iterator[None]:
    """Keep so many programs computing within the block."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for program in spinning:
            program.kill()
            program.wait()


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.cli.silences", description=__doc__)
    parser.add_argument("--rows", type=lambda text: [int(part) for part in text.split(",")], default=ROWS)
    parser.add_argument("--load", type=int, default=os.cpu_count(), help="programs that keep a core busy each")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder, loaded_cores(given.load):
        for rows in given.rows:
            for one in listened(Path(folder), rows):
                found.append(one)
                note = f"{one.silence:5.1f} s of {one.seconds:6.1f} s  status {one.status}  {rows} rows, {one.place}"
                sys.stderr.write(f"{note}: {one.command[:60]}\n")
    longest = max(found, key=lambda one: one.silence)
    over = [f"{one.place}: {one.command}" for one in found if one.silence > LIMIT_SECONDS]
    summary = {"commands": len(found), "longest": round(longest.silence, 1), "of": longest.command, "over": over}
    sys.stdout.write(f"{json.dumps(summary)}\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # a terminal whose other end is closed
        return b""


if __name__ == "__main__":
    main()
