"""Environments with clients of others, made when a test first asks for one and kept below `.cache/clients`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests.needs import missing

CACHE = Path(__file__).parents[2] / ".cache" / "clients"


def client_python(name: str, *requirements: str) -> Path:
    """Return the Python of an environment with exactly these requirements; one that cannot be made is `missing`."""
    folder = CACHE / name
    wanted = "\n".join(requirements)
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        made = folder / "requirements"
        if not made.is_file() or made.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, requirements)
            made.write_text(wanted)
    return folder / "bin" / "python"


def _make(folder: Path, requirements: tuple[str, ...]) -> None:
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", folder], [*pip, *requirements]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            missing(f"an environment with {', '.join(requirements)} could not be made: {done.stderr[-300:]}")
