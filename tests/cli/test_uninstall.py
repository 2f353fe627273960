"""`tunery uninstall`: says what it would delete, and deletes nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tunery.engine.catalog import Catalog
from tunery.service.folder import DataFolder
from tunery.service.library import Library


@pytest.fixture
def filled(home: Path, base_folder: Path) -> Path:
    """Return a data folder with a library, an added base, weights and a file of the user's."""
    Catalog(home).add(str(base_folder), "tiny")
    with Library.own(home):
        pass
    (home / "models" / "numbers").mkdir()
    (home / "models" / "numbers" / "adapter.safetensors").write_bytes(b"x" * 2_000_000)
    (home / "mine.txt").write_text("notes")
    return home


def test_nothing_is_deleted_without_a_yes(run: Run, filled: Path) -> None:
    """Without a terminal to ask on, the list with sizes is all that happens."""
    before = sorted(path for path in filled.rglob("*") if path.is_file())

    done = run("uninstall")

    assert done.status == 13
    assert "tuned models" in done.output + done.said
    assert "2.0 MB" in done.output + done.said
    assert "mine.txt" in done.said
    assert sorted(path for path in filled.rglob("*") if path.is_file()) == before


def test_what_is_tunerys_goes_and_the_rest_stays(run: Run, filled: Path, base_folder: Path) -> None:
    """Library, bases and tuned models are gone; a user's file and a base used in place are not."""
    done = run("uninstall", "--yes", "--json")

    assert done.status == 0, done.said
    assert json.loads(done.output)["bytes"]["tuned models"] == 2_000_000
    assert [path.name for path in filled.iterdir()] == ["mine.txt"]
    assert (base_folder / "model.safetensors").is_file()
    assert f"{sys.executable} -m pip uninstall tunery" in done.said


def test_a_shared_library_stays(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other machines use too is not this machine's to delete."""
    monkeypatch.setenv("TUNERY_DATABASE_URL", "postgresql://elsewhere/library")

    done = run("uninstall")

    assert done.status == 0, done.said
    assert "TUNERY_DATABASE_URL names, and its store, stay" in done.said
    assert not home.exists()


def test_a_folder_in_use_is_left_alone(run: Run, filled: Path) -> None:
    """While a server or a job owns the data folder, nothing of it is deleted."""
    with DataFolder(filled).own():
        done = run("uninstall", "--yes")

    assert done.status == 19
    assert (filled / "models" / "numbers").is_dir()


@pytest.mark.parametrize(("place", "command"), [("uv/tools", "uv tool"), ("pipx/venvs", "pipx")])
def test_an_environment_of_a_tool_is_removed_by_it(
    place: str, command: str, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with nothing to delete."""
    monkeypatch.setattr(sys, "prefix", f"/home/me/.local/share/{place}/tunery")

    done = run("uninstall")

    assert done.status == 0, done.said
    assert f"{command} uninstall tunery" in done.said
    assert not home.exists()
