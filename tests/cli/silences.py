"""
How long commands are silent: every command of the help page, on files of several sizes, in a terminal and in a pipe.

    python -m tests.cli.silences                        10, 100 and 1,000 rows, both cores loaded; one JSON line
    python -m tests.cli.silences --rows 10 --load 0     quickly

A silence is a time in which a running command writes nothing to either stream; the one before its first sign, in which
Python starts, and the one before its end count as well. All commands work on a tiny base; those whose silences depend
on the base also on the default one. What runs longer than `--seconds` gets a Ctrl-C, and is listened to until its end.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from typer.main import get_command

from tests.engine.tiny_bases import make_folder
from tests.postgres import programs, serving_postgres
from tunery import config
from tunery.cli.main import app
from tunery.types import DEFAULT_BASE_MODEL

LIMIT_SECONDS = 5.0
STOP_SECONDS = 60.0  # after Ctrl-C
PYTHON_SECONDS = 600.0
ROWS = (10, 100, 1_000)
MODEL = "numbers"
WORDS = " of my order, which has not come yet although I paid for it weeks ago; tell me what to do now, please"
READY = "Ctrl-C"  # said by a server or worker once it is ready
TUNE_IN_PYTHON = """
import sys, tunery
model = tunery.tune(tunery.Dataset.read(sys.argv[1]), base_model=sys.argv[2], id="python", epoch_count=1)
tunery.load("python").generate(["the number 17"], max_output_tokens=4)
"""
ENDED, REFUSED = (0,), (13, 19)
STOPPED = (0, 130, 143, -signal.SIGINT)  # the last one if Python is just ending
ANY = (*range(26), 130)


@dataclass(frozen=True, slots=True)
class Case:
    """A command, its input, variables and possible exit statuses; with `until`, a text after which it gets a Ctrl-C."""

    parts: tuple[str, ...]
    statuses: tuple[int, ...] = ENDED
    until: str = ""
    typed: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    python: str = ""  # a program instead of the command `tunery`


@dataclass(frozen=True, slots=True)
class Heard:
    """A command that ran: its exit status, how long it took, its longest silence, and what it wrote."""

    case: Case
    place: str  # terminal or pipe
    rows: int
    status: int
    was_stopped: bool
    seconds: float
    silence: float
    before: str  # the end of what was written before the longest silence
    text: str

    @property
    def name(self) -> str:
        return f"{self.rows} rows, {self.place}: {' '.join(self.case.parts)}"

    @property
    def is_as_expected(self) -> bool:
        return self.status in (STOPPED if self.was_stopped else self.case.statuses)


def every_command() -> set[str]:
    """Return the names of all commands of the help pages."""
    found = set()

    def walk(name: str, command: object) -> None:
        below = getattr(command, "commands", None)
        if below is None:
            found.add(name)
        for child, one in (below or {}).items():
            walk(f"{name} {child}".strip(), one)

    walk("", get_command(app))
    return found


def commands(folder: Path, rows: int) -> list[Case]:
    """Return the commands that work on the data folder, in an order in which each finds what it needs."""
    data, to = str(folder / f"{rows}.csv"), str(folder / "made")
    quick = ("--base-model", "tiny", "--epochs", "1")
    short, user = ("--max-output-tokens", "4"), "someone@example.com"
    return [
        Case(("--help",)),
        Case(("bases", "add", str(folder / "base"), "--name", "tiny")),
        Case(("bases", "list")),
        Case(("bases", "get", "tiny")),
        Case(("bases", "pull", "tiny")),
        Case(("bases", "search", "smollm"), ANY),  # needs the network
        Case(("bases", "export", "tiny", "--to", f"{to}-base")),
        Case(("data", "preview", data)),
        Case(("data", "check", data, "--base-model", "tiny")),
        Case(("data", "surgery", data, "--base-model", "tiny", "--folds", "2")),
        Case(("tune", data, *quick, "--id", MODEL, "--hold-out", "20%", "--yes")),
        Case(("tune", data, "tiny"), python=TUNE_IN_PYTHON),
        Case(("evaluate", MODEL)),
        Case(("evaluate", MODEL, data, "--folds", "2")),
        Case(("generate", MODEL, "17", *short)),
        Case(("decide", MODEL, "17"), ANY),  # refused if the outputs are no labels
        Case(("models", "next", MODEL), ANY),
        Case(("generate", MODEL, "--input", data, "--output", f"{to}.csv", *short)),
        Case(("data", "curve", data, *quick), (*ENDED, *REFUSED)),  # refused with ten rows
        Case(("models", "list")),
        Case(("models", "show", MODEL)),
        Case(("models", "card", MODEL)),
        Case(("models", "use", MODEL, "1"), (0, 15)),  # refused if tuning was stopped before the end of an epoch
        Case(("models", "export", MODEL, "--to", f"{to}-adapter")),
        Case(("models", "export", MODEL, "--to", f"{to}-merged", "--format", "merged", "--no-prove")),
        Case(("models", "export", MODEL, "--to", f"{to}-gguf", "--format", "gguf", "--no-prove")),
        Case(("backup", f"{to}.tar")),
        Case(("restore", f"{to}.tar"), variables={"TUNERY_HOME": f"{to}-home"}),
        Case(("doctor",)),
        Case(("keys", "create")),
        Case(("keys", "list")),
        Case(("keys", "revoke", "none"), (15,)),
        Case(("users", "add", user)),
        Case(("users", "password", user), typed="a longer pass phrase 17\n"),
        Case(("users", "link", user), REFUSED),  # needs a running server
        Case(("users", "list")),
        Case(("users", "disable", user)),
        Case(("users", "enable", user)),
        Case(("users", "log")),
        Case(("serve", "--port", "0"), STOPPED, until=READY),
    ]


def served_commands(folder: Path, rows: int, address: str) -> list[Case]:
    """Return the commands that work through a server which owns the data folder."""
    data, to = str(folder / f"{rows}.csv"), str(folder / "served")
    short = ("--max-output-tokens", "4")
    key = {"RESCUE_API_KEY": (folder / "home" / "local-token").read_text().strip()}
    old = ("--endpoint", f"{address}/openai/v1", "--model", f"tunedModels/{MODEL}", "--per-minute", "60000")
    return [
        Case(("login", "--local", "--print-token")),
        Case(("users", "link", "someone@example.com")),
        Case(("tune", data, "--base-model", "tiny", "--epochs", "1", "--id", "served", "--hold-out", "20%", "--yes")),
        Case(("evaluate", "served", data)),
        Case(("generate", "served", "17")),
        Case(("generate", "served", "--input", data, "--output", f"{to}.csv", *short)),
        Case(("models", "export", "served", "--to", f"{to}-adapter", "--no-prove")),
        Case(("rescue", data, *old, "--to", f"{to}.jsonl", *short), variables=key),
        Case(("models", "delete", "served", "--yes")),
    ]


def shared_commands(database: str | None, store: Path) -> list[Case]:
    """Return the commands for several machines; without PostgreSQL they are refused."""
    shared = {"TUNERY_DATABASE_URL": database, "TUNERY_STORE_URL": store.as_uri()} if database else {}
    works = ENDED if database else REFUSED
    return [
        Case(("migrate",), works, variables=shared),
        Case(("worker",), (*STOPPED, *works), until=READY, variables=shared),
        Case(("bases", "remove", "tiny"), ANY),  # refused while a model depends on it
        Case(("uninstall", "--yes")),
    ]


def default_base_commands(folder: Path, rows: int) -> list[Case]:
    """Return the commands whose silences depend on the base, with the default one."""
    data, to = str(folder / f"{rows}.csv"), str(folder / "made")
    return [
        Case(("data", "check", data)),
        Case(("tune", data, "--epochs", "1", "--id", MODEL, "--hold-out", "20%", "--yes")),
        Case(("evaluate", MODEL, "--rows", "100")),
        Case(("generate", MODEL, "the number 17")),
        Case(("generate", MODEL, "--input", data, "--output", f"{to}.csv")),
        Case(("generate", DEFAULT_BASE_MODEL, "Name three colours.", "--max-output-tokens", "32")),
        Case(("models", "export", MODEL, "--to", f"{to}-adapter", "--no-prove")),
        Case(("models", "export", MODEL, "--to", f"{to}-merged", "--format", "merged", "--no-prove")),
        Case(("models", "export", MODEL, "--to", f"{to}-gguf", "--format", "gguf", "--no-prove")),
        Case(("bases", "export", DEFAULT_BASE_MODEL, "--to", f"{to}-base")),
        Case(("backup", f"{to}.tar")),
    ]


@dataclass(frozen=True, slots=True)
class Listener:
    """Listens to commands in a folder with a file of rows and a data folder, in a terminal or in a pipe."""

    folder: Path
    base: str
    rows: int
    in_terminal: bool
    seconds: float

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def heard(self, case: Case) -> Heard:
        """Run a command and listen to both of its streams."""
        ours, theirs = pty.openpty() if self.in_terminal else os.pipe()
        begin = last = time.monotonic()
        process = self._started(case, theirs)
        text, silence, before, stop_time, was_stopped = "", 0.0, "", begin + self.seconds, False
        if case.python:  # a script has no say in how it ends
            stop_time += PYTHON_SECONDS
        while True:
            ready, _, _ = select.select([ours], [], [], 0.05)
            now = time.monotonic()
            if now - last > silence:
                silence, before = now - last, text[-80:]
            if ready:
                piece = _read(ours)
                if not piece:
                    break
                text, last = text + piece.decode(errors="replace"), now
            if now > stop_time or (case.until and not was_stopped and case.until in text):
                process.send_signal(signal.SIGKILL if was_stopped else signal.SIGINT)
                was_stopped, stop_time = True, now + STOP_SECONDS
        os.close(ours)
        status, seconds = process.wait(), time.monotonic() - begin
        place = "terminal" if self.in_terminal else "pipe"
        return Heard(case, place, self.rows, status, was_stopped, seconds, silence, before, text)

    def _started(self, case: Case, stream: int) -> subprocess.Popen[bytes]:
        program = ("-c", case.python, *case.parts[1:]) if case.python else ("-m", "tunery", *case.parts)
        variables = {"TUNERY_HOME": str(self.home), "TUNERY_BASE": self.base, "TERM": "xterm", "COLUMNS": "80"}
        process = subprocess.Popen(
            [sys.executable, *program],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env={**os.environ, **variables, **case.variables},
            start_new_session=True,  # as a terminal does; the scheduler shares the cores between sessions
        )
        os.close(stream)
        assert process.stdin is not None
        with process.stdin as typed:
            typed.write(case.typed.encode())
        return process

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Keep a server of the data folder running within the block; yield its address."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "TUNERY_HOME": str(self.home), "TUNERY_BASE": self.base}
        parts = [sys.executable, "-m", "tunery", "serve", "--port", str(port)]
        with subprocess.Popen(parts, env=environment, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            next(line for line in server.stderr if READY in line)
            drained = threading.Thread(target=server.stderr.read, daemon=True)
            drained.start()
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                server.send_signal(signal.SIGINT)
                server.wait()
                drained.join()


def listened(bases: Path | None, rows: int, *, in_terminal: bool, seconds: float) -> Iterator[Heard]:
    """Run all commands on a file of `rows` rows, with a tiny base; or some, with the default base in `bases`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_rows(folder / f"{rows}.csv", rows, WORDS if bases else "")
        if bases is not None:
            (folder / "home").mkdir()
            (folder / "home" / "bases").symlink_to(bases)
            listener = Listener(folder, DEFAULT_BASE_MODEL, rows, in_terminal, seconds)
            yield from map(listener.heard, default_base_commands(folder, rows))
            return
        make_folder(folder / "base")
        listener = Listener(folder, "tiny", rows, in_terminal, seconds)
        yield from map(listener.heard, commands(folder, rows))
        with listener.serving() as address:
            yield from map(listener.heard, served_commands(folder, rows, address))
        with ExitStack() as stack:
            database = stack.enter_context(serving_postgres()).url() if programs() else None
            yield from map(listener.heard, shared_commands(database, folder / "store"))


def write_rows(path: Path, rows: int, words: str = "") -> None:
    """Write a file of messages with a number, and whether it is even."""
    lines = [f'"the number {number}{words}",{"even" if number % 2 == 0 else "odd"}' for number in range(rows)]
    path.write_text("\n".join(["message,kind", *lines]) + "\n")


@contextmanager
def loaded_cores(programs: int) -> Iterator[None]:
    """Keep some programs computing within the block."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin, start_new_session=True) for _ in range(programs)]
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
    parser.add_argument("--seconds", type=float, default=60.0, help="time after which a command gets a Ctrl-C")
    parser.add_argument("--place", choices=("terminal", "pipe"), help="where to listen (default: both)")
    parser.add_argument("--only", choices=("tiny", "default"), help="base to use (default: both)")
    given = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell ignores it in the background, and so would commands
    places = {"tiny": None, "default": config.data_folder() / "bases"}
    found = []
    with loaded_cores(given.load):
        for rows in given.rows:
            for in_terminal in (True, False) if given.place is None else (given.place == "terminal",):
                for bases in [places[given.only]] if given.only else places.values():
                    heard = listened(bases, rows, in_terminal=in_terminal, seconds=given.seconds)
                    found += [_noted(one) for one in heard]
    sys.stdout.write(f"{json.dumps(_summary(found))}\n")


def _noted(one: Heard) -> Heard:
    mark = "" if one.is_as_expected else f"  UNEXPECTED {one.text[-300:]!r}"
    mark += f"  AFTER {one.before!r}" if one.silence > LIMIT_SECONDS else ""
    end = "stopped" if one.was_stopped else f"status {one.status}"
    sys.stderr.write(f"{one.silence:5.1f} s of {one.seconds:6.1f} s  {end}  {one.name[-120:]}{mark}\n")
    return one


def _summary(found: list[Heard]) -> dict[str, object]:
    longest = max(found, key=lambda one: one.silence)
    return {
        "commands": len(found),
        "load": os.getloadavg(),
        "longest": round(longest.silence, 1),
        "of": longest.name,
        "over": [one.name for one in found if one.silence > LIMIT_SECONDS],
        "stopped": [one.name for one in found if one.was_stopped and not one.case.until],
        "unexpected": [one.name for one in found if not one.is_as_expected],
    }


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # a terminal whose other end is closed
        return b""


if __name__ == "__main__":
    main()
