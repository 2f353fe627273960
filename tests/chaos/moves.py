"""
A library moves to PostgreSQL and an S3 store, and back, while `tunery migrate` is killed at random moments.

    python -m tests.chaos.moves --moves 20    # prints one line of JSON

Each move is killed up to three times and then runs to its end; on the way there, a reader looks at the library the
whole time. Models, curves and every byte of the adapters have to be the same there, and in a third folder after the way
back.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.postgres import serving_postgres
from tests.s3 import serving_s3
from tests.service.samples import a_request, tuned
from tunery.config import Shared
from tunery.errors import TuneryError
from tunery.service.library import Library
from tunery.types import TunedModel

MODELS, WAITING = 40, 5
MOST_KILLS = 3

State = tuple[tuple[TunedModel, ...], dict[str, str]]


@dataclass
class Outcome:
    """What was done, and what came of it."""

    moves: int = 0
    kills: int = 0
    kills_too_late: int = 0  # the command had ended
    looks: int = 0
    looks_in_vain: int = 0  # neither the folder nor the shared database could be read
    different: list[str] = field(default_factory=list)


def state_of(home: Path, shared: Shared | None = None) -> State:
    """Return the models of a library and a digest of each adapter."""
    with Library.open(home, *([] if shared is None else [shared])) as library:
        models = library.list(with_snapshots=True)
        return models, {model.id: _digest(library.adapter_folder(model)) for model in models if model.artifact}


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = b"".join(str(path.relative_to(folder)).encode() + path.read_bytes() for path in files)
    return hashlib.sha256(content).hexdigest()


def make_library(home: Path) -> State:
    """Make a library of tuned and waiting models, and return its state."""
    with Library.own(home) as library:
        for number in range(MODELS):
            tuned(library, lambda folder, number=number: _write(folder, number), id=f"tuned-{number}")
        for number in range(WAITING):
            library.create(a_request(id=f"waiting-{number}"))
    return state_of(home)


def _write(folder: Path, number: int) -> None:
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(random.Random(number).randbytes(200_000))


@dataclass
class Mover:
    """Moves one library, and is killed at random moments of its usual time."""

    outcome: Outcome
    order: random.Random
    seconds: float = 0.0  # of an undisturbed move

    def move(self, home: Path, shared: Shared, *options: str) -> None:
        """Move until the command succeeds, after up to `MOST_KILLS` that are killed."""
        for _ in range(self.order.randint(1, MOST_KILLS)):
            process = self._started(home, shared, options)
            time.sleep(self.order.uniform(0.3, 0.9) * self.seconds)
            self.outcome.kills_too_late += process.poll() is not None
            self.outcome.kills += process.poll() is None
            process.kill()
            process.communicate()
        self.to_the_end(home, shared, *options)

    def to_the_end(self, home: Path, shared: Shared, *options: str) -> None:
        """Move without a disturbance; a move that had already ended is refused, since nothing is left to do."""
        begin = time.monotonic()
        process = self._started(home, shared, options)
        _, errors = process.communicate()
        self.seconds = self.seconds or time.monotonic() - begin
        if process.returncode and "already has" not in errors and "no library" not in errors.lower():
            self.outcome.different.append(f"status {process.returncode}: {errors[-300:]}")

    def _started(self, home: Path, shared: Shared, options: tuple[str, ...]) -> subprocess.Popen[str]:
        variables = {
            "TUNERY_HOME": str(home),
            "TUNERY_DATABASE_URL": shared.database_url or "",
            "TUNERY_STORE_URL": shared.store_url or "",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tunery", "migrate", *options],
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def moved(count: int, seed: int = 0) -> Outcome:
    """Move `count` libraries there and back, and compare."""
    outcome, order = Outcome(), random.Random(seed)
    mover = Mover(outcome, order)
    with tempfile.TemporaryDirectory() as place, serving_postgres() as postgres, serving_s3() as bucket:
        folder = Path(place)
        wanted = make_library(folder / "whole")
        for number in range(-1, count):
            home, back = folder / f"home-{number}", folder / f"back-{number}"
            shared = Shared(postgres.url(), f"{bucket}/{number}")
            shutil.copytree(folder / "whole", home)
            if number < 0:  # to know how long it takes
                mover.to_the_end(home, shared)
                continue
            watcher = _Watcher(home, shared, outcome)
            with watcher:
                mover.move(home, shared)
            _compare(outcome, f"move {number}", state_of(folder / "elsewhere", shared), wanted)
            mover.move(back, shared, "--back")
            _compare(outcome, f"move {number} back", state_of(back), wanted)
            outcome.moves += 1
    return outcome


def _compare(outcome: Outcome, name: str, found: State, wanted: State) -> None:
    if found[0] != wanted[0]:
        outcome.different.append(f"{name}: the models differ")
    if found[1] != wanted[1]:
        outcome.different.append(f"{name}: the adapters differ")


class _Watcher(threading.Thread):
    """Reads the library at its old place or its new one, until the block ends."""

    def __init__(self, home: Path, shared: Shared, outcome: Outcome) -> None:
        super().__init__()
        self._places, self._outcome, self._is_over = ((home, None), (home, shared)), outcome, threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.2):
            self._outcome.looks += 1
            self._outcome.looks_in_vain += not any(self._can_read(*place) for place in self._places)

    def _can_read(self, home: Path, shared: Shared | None) -> bool:
        if shared is None and not (home / "tunery.sqlite3").exists():
            return False
        with suppress(TuneryError), Library.open(home, *([] if shared is None else [shared])) as library:
            return len(library.list()) == MODELS + WAITING
        return False

    def __enter__(self) -> _Watcher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()


def main() -> None:
    """Run the trial with the options of the command line; the exit status is 1 if anything differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    outcome = moved(given.moves, given.seed)
    print(json.dumps(vars(outcome)))  # noqa: T201
    raise SystemExit(1 if outcome.different or outcome.looks_in_vain else 0)


if __name__ == "__main__":
    main()
