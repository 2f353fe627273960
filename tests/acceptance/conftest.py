"""Fixtures for the tests with real processes: a tiny base, data folders, and commands that can be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog
from tunery.service.library import Library

ROOT = Path(__file__).parents[2]
MAX_WAIT_SECONDS = 60


@dataclass
class Command:
    """A running or ended command."""

    pid: int
    home: Path
    output: Path
    errors: Path
    ask: Callable[[object], int] = field(repr=False)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit status; negative if a signal ended the command."""
        return self.ask({"wait": self.pid})

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        give_up = time.monotonic() + MAX_WAIT_SECONDS
        while not is_so():
            assert time.monotonic() < give_up, self.said
            time.sleep(0.005)

    @property
    def said(self) -> str:
        return self.errors.read_text("utf-8") if self.errors.exists() else ""

    @property
    def result(self) -> str:
        return self.output.read_text("utf-8")

    @property
    def has_checkpoint(self) -> bool:
        return any(self.home.glob("checkpoints/*/checkpoint.safetensors"))


@pytest.fixture(scope="session")
def ask_zygote() -> Iterator[Callable[[object], int]]:
    """Return a function that gives a job to a process which runs commands."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.zygote"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        requests, replies = zygote.stdin, zygote.stdout

        def ask(job: object) -> int:
            requests.write(json.dumps(job) + "\n")
            requests.flush()
            return int(replies.readline())

        yield ask
        requests.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the base `tiny` and an empty library, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    Catalog(folder / "home").add(str(make_folder(folder / "base")), "tiny")
    with Library.own(folder / "home"):
        pass
    return folder / "home"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel of this checkout, or the one with made wheels that TUNERY_WHEELS names."""
    if made := os.environ.get("TUNERY_WHEELS"):
        return Path(made).absolute()
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, env={**os.environ, "TUNERY_RELEASE": "1"}, check=True, capture_output=True)
    return folder


@pytest.fixture
def new_home(template: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes a data folder with the base `tiny`."""

    def made(name: str) -> Path:
        return shutil.copytree(template, tmp_path / name)

    return made


@pytest.fixture
def home(new_home: Callable[[str], Path]) -> Path:
    return new_home("home")


@pytest.fixture
def start(ask_zygote: Callable[[object], int], tmp_path: Path) -> Callable[..., Command]:
    """Return a function that starts a command on a data folder."""
    numbers = iter(range(1_000))

    def started(home: Path, *arguments: str | Path) -> Command:
        number = next(numbers)
        output, errors = tmp_path / f"output-{number}", tmp_path / f"errors-{number}"
        job = {"run": [str(argument) for argument in arguments], "home": str(home)}
        pid = ask_zygote({**job, "output": str(output), "errors": str(errors)})
        return Command(pid, home, output, errors, ask_zygote)

    return started


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a file of 20 examples."""
    path = tmp_path / "numbers.csv"
    path.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(20)))
    return path


def adapter_bytes(home: Path, model_id: str) -> bytes:
    """Return the adapter that a tuned model serves, after all its files were checked."""
    with Library.open(home) as library:
        return (library.adapter_folder(library.get(model_id)) / "adapter_model.safetensors").read_bytes()
