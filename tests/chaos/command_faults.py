"""
Commands and the Python library on a failing disk: a system call of one fails, or it is killed at one, by chance.

    python -m tests.chaos.command_faults --faults 100    # about ten minutes; one JSON line; needs strace

Each command is forked from a process that has loaded torch, and traced with its children. Afterwards the same command
runs undisturbed: it must end well, with the bytes of one that nothing disturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import tunery
from tests.engine.tiny_bases import make_folder
from tests.service.victim import _let_anyone_trace
from tunery.cli.main import main as command
from tunery.engine.catalog import Catalog
from tunery.service.library import Library

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "ftruncate", "unlink", "mkdir", "openat")
FAULTS = ("ENOSPC", "EIO", "KILL")
ROWS = "text_input,output\n" + "".join(f"{number},{number + 1}\n" for number in range(20))
TUNED = "numbers"


def tune(place: Path) -> None:
    """Tune a model, or go on with one that was begun."""
    rows, settings = place / "rows.csv", ("--epochs", "3", "--hold-out", "4", "--no-verdict")
    _run("tune", rows, "--base-model", "tiny", "--id", "new", *settings)


def library(place: Path) -> None:
    """Tune and save with the Python library."""
    shutil.rmtree(place / "saved", ignore_errors=True)
    model = tunery.tune(tunery.Dataset.read(place / "rows.csv"), base_model="tiny", epoch_count=2, library=False)
    model.save(place / "saved")


def back_up(place: Path) -> None:
    """Back up the library."""
    _run("backup", place / "library.tar")


def restore(place: Path) -> None:
    """Restore a backup into a new data folder."""
    os.environ["TUNERY_HOME"] = str(place / "restored")
    _run("restore", place / "earlier.tar")


def export(place: Path) -> None:
    """Export a model."""
    _run("models", "export", TUNED, "--to", place / "exported", "--no-prove")


Work = Callable[[Path], None]
WORKS: tuple[Work, ...] = (tune, library, back_up, restore, export)


def result(work: Work, place: Path) -> str | None:
    """Return the digest of what a work has made, None if it has not made it."""
    with suppress(FileNotFoundError):
        if work is tune:
            with Library.open(place / "home") as opened:
                models = {model.id: model for model in opened.list()}
                artifact = models["new"].artifact if "new" in models else None
                return None if artifact is None else _digest(opened.adapter_folder(models["new"]))
        if work is restore:
            if not (place / "restored" / "tunery.sqlite3").exists():
                return None
            with Library.open(place / "restored") as opened:
                return _digest(opened.adapter_folder(opened.get(TUNED)))
        if work is back_up:
            with tarfile.open(place / "library.tar") as tar:
                return repr(sorted((part.name, part.size) for part in tar if part.name.startswith("models/")))
        folder = place / ("saved" if work is library else "exported")
        return _digest(folder) if folder.exists() else None
    return None


def _digest(folder: Path) -> str:
    weights = sorted(folder.rglob("adapter_model.safetensors"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in weights)).hexdigest() if weights else "no weights"


def _run(*arguments: object) -> None:
    try:
        command([str(argument) for argument in arguments])
    except SystemExit as end:
        if end.code:
            raise


def make_template(folder: Path) -> Path:
    """Return a folder with a data folder that has a base and a tuned model, rows, and a backup."""
    template = folder / "template"
    template.mkdir()
    Catalog(template / "home").add(str(make_folder(folder / "base")), "tiny")
    (template / "rows.csv").write_text(ROWS)
    os.environ["TUNERY_HOME"] = str(template / "home")
    _run("tune", template / "rows.csv", "--base-model", "tiny", "--id", TUNED, "--epochs", "1", "--no-verdict")
    _run("backup", template / "earlier.tar")
    return template


def forked(work: Work, place: Path, *trace: str) -> tuple[int, str]:
    """Do a work in a child process, traced with these options if any; return its status and what it said."""
    said, (ready, go) = place / "said", os.pipe()
    child = os.fork()
    if child == 0:
        _live(work, place, said, ready)
    strace = None
    if trace:
        strace = subprocess.Popen(
            ["strace", "-f", "-o", str(place / "calls"), *trace, "-p", str(child)], stderr=subprocess.PIPE, text=True
        )
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
    os.write(go, b"!")
    _, status = os.waitpid(child, 0)
    if strace is not None:
        strace.wait()
    os.close(ready)
    os.close(go)
    return os.waitstatus_to_exitcode(status), said.read_text(errors="replace") if said.exists() else ""


def _live(work: Work, place: Path, said: Path, ready: int) -> None:
    _let_anyone_trace()
    os.environ["TUNERY_HOME"] = str(place / "home")
    os.chdir(place)  # where tempfile writes when it can write nowhere else
    terminal = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(terminal, 1)
    os.dup2(terminal, 2)
    os.read(ready, 1)
    status = 1
    try:
        work(place)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except tunery.errors.TuneryError as error:  # as a program that uses the library would show it
        sys.stderr.write(f"{error}\n")
        status = error.exit_status
    except OSError as error:  # the library writes to a folder of its caller
        sys.stderr.write(f"{error}\n")
        status = 2
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)


def suffer(faults: int, seed: int, folder: Path) -> dict[str, object]:
    """Return how many works went on after a fault with equal bytes, by work, and what fell."""
    order, counts, fallen = random.Random(seed), Counter[str](), []
    template = make_template(folder)
    wanted, calls = {}, {}
    for work in WORKS:
        place = shutil.copytree(template, folder / "place", symlinks=True)
        assert forked(work, place, "-e", f"trace={','.join(CALLS)}")[0] == 0
        wanted[work] = result(work, place)
        calls[work] = Counter(re.findall(r"^\d+ +(\w+)\(", (place / "calls").read_text(), re.MULTILINE))
        shutil.rmtree(place)
    for number in range(faults):
        work, fault = WORKS[number % len(WORKS)], FAULTS[number // len(WORKS) % len(FAULTS)]
        call = order.choice([call for call in CALLS if calls[work][call]])
        which = f"{call}:{'signal=' if fault == 'KILL' else 'error='}{fault}:when={order.randint(1, calls[work][call])}"
        place = shutil.copytree(template, folder / "place", symlinks=True)
        status, said = forked(work, place, "-e", f"trace={call}", "-e", f"inject={which}")
        why = _fell(work, place, wanted[work], said)
        counts[f"{work.__name__}, {'undisturbed' if status == 0 else 'killed' if status < 0 else 'failed'}"] += 1
        if why:
            fallen.append(f"{work.__name__} {which}: {why}")
        shutil.rmtree(place)
    return {"faults": faults, **counts, "what fell": fallen}


def _fell(work: Work, place: Path, wanted: str | None, said: str) -> str:
    """Return what is wrong after a fault, empty if nothing is."""
    if "Traceback" in said or "went wrong" in said:
        return f"said {said.strip().splitlines()[-1]}"
    if work is back_up and "Keep earlier backups" in said:  # it named the adapter that could not be read
        return ""
    made = result(work, place)
    if made is not None and work is not library and made != wanted:
        return f"other bytes at once; said {said[-200:]}"
    if made is not None and work is not library:
        return ""
    status, again = forked(work, place)
    if status != 0:
        return f"the next run ended with {status}: {again.strip().splitlines()[-1] if again.strip() else ''}"
    return "" if result(work, place) == wanted else "other bytes after the next run"


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        print(json.dumps(suffer(asked.faults, asked.seed, Path(folder))))  # noqa: T201


if __name__ == "__main__":
    main()
