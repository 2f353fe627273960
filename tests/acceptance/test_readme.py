"""Run what the README tells users to type, in a fresh data folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.clients import environments
from tests.fakes import write_learnable_base
from tests.needs import NO_DEFAULT_BASE, missing
from tunery import config
from tunery.engine.catalog import Catalog
from tunery.service.library import Library
from tunery.types import DEFAULT_BASE_MODEL

README = (environments.ROOT / "README.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8000"
START_SECONDS = 180
RUN_SECONDS = 600
# variables that would lead a client elsewhere
_HIDDEN = ("GOOGLE_", "GEMINI_", "TUNERY_", "PYTHON")


def section(heading: str) -> str:
    """Return the text below a heading of the README."""
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language; "" for blocks without one."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def environment(home: Path) -> dict[str, str]:
    """Return an environment with a data folder and no other setting of tunery or Google."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)} | {
        "TUNERY_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def command(line: str) -> list[str]:
    """Return a command of the README with `tunery` replaced by the one under test."""
    program, *arguments = line.split()
    assert program.endswith("tunery")
    return [sys.executable, "-m", "tunery", *arguments]


@contextmanager
def served(line: str, folder: Path, home: Path) -> Iterator[str]:
    """Run the README's server command on a free port and yield its address."""
    said = folder / "said"
    with (
        said.open("w") as output,
        subprocess.Popen(
            [*command(line), "--port", "0"], stdout=output, stderr=output, env=environment(home)
        ) as server,
    ):
        try:
            give_up = time.monotonic() + START_SECONDS
            while (found := re.search(r"Serving at +(\S+)", said.read_text("utf-8"))) is None:
                assert server.poll() is None, said.read_text("utf-8")
                assert time.monotonic() < give_up, said.read_text("utf-8")
                time.sleep(0.1)
            yield found[1]
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    """The README's Python runs on a file of that name, and the model is in My Library afterwards."""
    home = tmp_path / "home"
    Catalog(home).add(str(write_learnable_base(tmp_path / "base")), "tiny")
    (tmp_path / "examples").mkdir()
    rows = "".join(f"number {n},{n + 1}\n" for n in range(40))
    (tmp_path / "examples" / "messages.csv").write_text(f"text_input,output\n{rows}", "utf-8")
    (snippet,) = blocks(section("Python"), "python")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet],
        cwd=tmp_path,
        env=environment(home) | {"TUNERY_BASE": "tiny"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    with Library.open(home) as library:
        assert [model.id for model in library.list()] == ["mine"]


@pytest.mark.base
def test_the_old_client_of_the_readme_runs(tmp_path: Path) -> None:
    """Serving, printing a token and running the snippet with it gives an answer of a tuned model."""
    bases = config.data_folder() / "bases"
    if not Catalog(config.data_folder()).is_present(DEFAULT_BASE_MODEL):
        missing(NO_DEFAULT_BASE)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "bases").symlink_to(bases)  # the server would fetch it first
    try:
        python = environments.python_of("google-generativeai-0.8.6")
    except environments.Unavailable as why:
        missing(f"the environment of google-generativeai could not be made: {why}")
    text = section("The tuning API, on your machine")
    (serve,), (snippet, *_) = blocks(text, ""), blocks(text, "python")
    (login,) = re.findall(r"`(tunery login[^`]*)`", text)

    with served(serve.strip(), tmp_path, home) as address:
        token = subprocess.run(command(login), env=environment(home), capture_output=True, text=True, check=True)
        program = snippet.replace(ADDRESS, address).replace("TOKEN", repr(token.stdout.strip()))
        done = subprocess.run(
            [python, "-c", program], env=environment(home), capture_output=True, text=True, timeout=RUN_SECONDS
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
