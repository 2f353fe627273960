"""
kill -9 at any moment: nothing half-made is visible afterwards, and nothing acknowledged is lost.

The killed process is `victim.py`; these tests open the folders it leaves and check them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import missing
from tunery.service.library import Library
from tunery.types import Phase, State, TunedModel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor kill -9")

# 1: a death at each of the 206 points and 551 system calls, a few minutes; by default at some of them
STRIDE = os.environ.get("TUNERY_TEST_KILL_STRIDE")


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder in memory if possible: kill -9 needs no disk, where each sync took 4 ms."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def template(place: Path) -> Path:
    """Return an empty library, so that a life does not begin with creating the tables."""
    with Library.own(place / "template"):
        pass
    return place / "template"


def test_killed_at_file_events_and_statements(template: Path, place: Path) -> None:
    """Killed at points throughout creating, tuning, publishing, cancelling and deleting, what remains is consistent."""
    left = lives(template, place / "lives", "points", STRIDE or "3")

    assert len(left) > 60
    for life in left:
        judge(life)


def test_killed_at_times_spread_over_a_life(template: Path, place: Path) -> None:
    """Killed at 40 arbitrary moments, what remains is consistent."""
    for life in lives(template, place / "lives", "times", "40"):
        judge(life)


def test_killed_at_system_calls_that_write(template: Path, place: Path) -> None:
    """Killed at writes, syncs, renames and removals, also those of SQLite, what remains is consistent."""
    _need_strace()

    for life in lives(template, place / "lives", "calls", STRIDE or "13"):
        judge(life)


def test_killed_while_the_first_tables_are_made(place: Path) -> None:
    """A data folder whose first opening was killed opens as an empty library or continues where it was."""
    for life in lives(place / "no template", place / "lives", "times", "20"):
        judge(life)


def _need_strace() -> None:
    if shutil.which("strace") is None:
        missing("strace is not installed")
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        pytest.skip(f"strace does not work here: {tried.stderr}")


def lives(template: Path, folder: Path, *mode: str) -> list[Path]:
    """Run victims below `folder`, killed as `mode` of `victim.py` says; return what each life left."""
    command = [sys.executable, "-W", "error", "-m", "tests.service.victim", str(template), str(folder), *mode]
    subprocess.run(command, check=True, timeout=3600)
    return sorted(folder.iterdir())


def judge(life: Path) -> None:
    """Open what a killed life left, and compare it with the calls that had returned."""
    home = life / "home"
    done = set((life / "done").read_text().splitlines()) if (life / "done").exists() else set()

    with Library.own(home) as library:
        models = {model.id: model for model in library.list(with_snapshots=True)}
        named = set()
        for model in models.values():
            used, _ = library.examples(model)
            assert len(used) == 15, f"{life}: {model.id} lacks examples"
            assert model.task.phase not in (Phase.PREPARING, Phase.RUNNING, Phase.PUBLISHING)
            if model.state == State.ACTIVE:
                assert model.artifact
                named.add(library.adapter_folder(model))
        assert set(library.folder.models.glob("*/*")) == named, f"{life}: an adapter that nobody names"
        assert all(path.name in _waiting(models) for path in library.folder.checkpoints.iterdir())

    _judge_acknowledged(done, models)
    with sqlite3.connect(home / "tunery.sqlite3") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    shutil.rmtree(life)


def _waiting(models: dict[str, TunedModel]) -> set[str]:
    return {model.task.id for model in models.values() if not model.task.phase.is_final}


def _judge_acknowledged(done: set[str], models: dict[str, TunedModel]) -> None:
    if "created kept" in done:
        assert "kept" in models
    if "step 3" in done:
        assert models["kept"].task.completed_steps >= 3
        assert len(models["kept"].task.snapshots) >= 3
    if "finished kept" in done:
        assert models["kept"].state == State.ACTIVE
        assert len(models["kept"].task.snapshots) == 19
    if "deleted gone" in done:
        assert "gone" not in models
    if "asked to cancel" in done and "cancelled" in models:
        assert models["cancelled"].task.cancel_requested
    if "finished cancelled" in done and "cancelled" in models:
        assert models["cancelled"].state == State.ACTIVE
    if "deleted cancelled" in done:
        assert "cancelled" not in models
