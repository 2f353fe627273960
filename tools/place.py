"""
A data folder of the tools' own, and the tunery of this interpreter at work on it: commands, a server, a killed job.

Run as a script it is the command `tunery`, made independent of clocks.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

import tunery

BASE = "smollm2-135m-instruct"
SOURCE = Path(tunery.__file__).parent
WAIT_SECONDS = 300


class Place:
    """A working folder with a data folder in it, and the command `tunery` run there."""

    def __init__(self, folder: Path, home: str, dtype: str = "float32") -> None:
        self.folder, self.home = folder, folder / home
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
        self.environment.pop("PYTHONPATH", None)
        more = {"TUNERY_HOME": str(self.home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "GATES_DTYPE": dtype}
        self.environment |= more | {"TZ": "UTC", "COLUMNS": "120"}
        if not self.home.exists():
            self.home.mkdir(mode=0o700)
            (self.home / "bases").symlink_to(_bases())

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", __file__, *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment
        if arguments[0] == "restore":
            environment = environment | {"TUNERY_HOME": str(self.folder / "restored")}
        typed = "correct horse battery\n"
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=environment, input=typed, capture_output=True, text=True
        )


def kill(place: Place, arguments: list[str], step: int) -> Path:
    """Start a command that tunes, kill it as soon as a checkpoint of this step is there, and return the checkpoint."""
    with subprocess.Popen(
        place.command(*arguments),
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as job:
        while job.poll() is None:
            for path in place.home.glob("checkpoints/*/checkpoint.safetensors"):
                if json.loads(safetensors(path)[0]["__metadata__"]["checkpoint"])["step"] >= step:
                    job.kill()
                    return path
            time.sleep(0.002)
    raise AssertionError("The tuning job ended before it could be killed.")


@contextmanager
def serving(place: Place) -> Iterator[tuple[str, str]]:
    """Run `tunery serve` within the block; give its address and the token of this machine."""
    command = [sys.executable, "-P", "-m", "tunery", "serve", "--port", "0", "--no-evaluation"]
    log = (place.folder / "serve.log").open("w")
    job = subprocess.Popen(command, cwd=place.folder, env=place.environment, stdout=log, stderr=log)
    try:
        give_up = time.monotonic() + WAIT_SECONDS
        while True:
            is_lost = job.poll() is not None or time.monotonic() > give_up
            assert not is_lost, (place.folder / "serve.log").read_text()
            try:
                address = json.loads((place.home / "lock").read_text())["address"]
                urllib.request.urlopen(f"{address}/openapi.json", timeout=10).close()
                break
            except (OSError, ValueError):
                time.sleep(0.1)
        yield address, (place.home / "local-token").read_text().strip()
    finally:
        job.terminate()
        job.wait()


def safetensors(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def run_command(arguments: list[str]) -> None:
    """
    Be the command `tunery`, computing in a fixed number format and writing a checkpoint after every step.

    Clocks choose both otherwise. The names are looked for in all modules, because modules move.
    """
    if arguments[0] in ("tune", "evaluate", "generate") or "export" in arguments:
        import torch

        fixed = {"CHECKPOINT_SECONDS": 0.0, "EPOCH_CHECKPOINT_SECONDS": 0.0}
        fixed["fast_dtype"] = lambda: getattr(torch, os.environ["GATES_DTYPE"])
        missing = set(fixed)
        for path in SOURCE.rglob("*.py"):
            if any(name in path.read_text("utf-8") for name in fixed):
                module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
                names = vars(importlib.import_module(module.removesuffix(".__init__")))
                missing -= names.keys()
                names.update({name: value for name, value in fixed.items() if name in names})
        assert not missing, f"No module has {missing} any more: tell tools/gates.py the new names."
    from tunery.cli.main import main

    main(arguments)


def _bases() -> Path:
    folder = Path(platformdirs.user_data_dir("tunery", appauthor=False)) / "bases"
    assert (folder / BASE).is_dir(), f"{BASE} is missing: tunery bases pull {BASE}"
    return folder


if __name__ == "__main__":
    run_command(sys.argv[1:])
