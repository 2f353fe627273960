"""Fixtures for the tests of the command line: a data folder with a tiny base, and commands run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.tiny_bases import make_folder
from tunery.cli.main import main


@dataclass(frozen=True)
class Done:
    """Exit status, standard output and standard error of a command."""

    status: int
    output: str
    said: str


Run = Callable[..., Done]


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny base in the layout of transformers."""
    return make_folder(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data folder that commands use; it does not exist yet."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNERY_DEBUG", raising=False)
    return tmp_path / "home"


def runner(capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""

    def ran(*arguments: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        output, said = capfd.readouterr()
        return Done(int(end.value.code or 0), output, said)

    return ran


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001
    """Return a function that runs a command on a data folder of the test's own."""
    return runner(capfd)


@pytest.fixture
def tiny(run: Run, base_folder: Path) -> str:
    """Return the name of a base in the data folder."""
    assert run("bases", "add", base_folder, "--name", "tiny").status == 0
    return "tiny"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a file of 20 examples without problems."""
    path = tmp_path / "numbers.csv"
    path.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(20)))
    return path


@pytest.fixture
def tuned(run: Run, tiny: str, data: Path) -> str:
    """Return the id of a tuned model in the library."""
    assert run("tune", data, "--no-verdict", "--base-model", tiny, "--id", "numbers", "--epochs", "3").status == 0
    return "numbers"
