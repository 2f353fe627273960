"""Fixtures for the tests of `service`: a data folder and a library that this process owns."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunery.service import process
from tunery.service.library import Library


@pytest.fixture(autouse=True)
def spawned_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start children as a server does for its users, with the environment of the test."""
    monkeypatch.setattr(process, "CONTEXT", multiprocessing.get_context("spawn"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the path of a data folder that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture(params=["sqlite", "postgres"])
def library(request: pytest.FixtureRequest, home: Path) -> Iterator[Library]:
    """Return an empty library, owned by this process, on either database."""
    is_shared = request.param == "postgres"
    url = request.getfixturevalue("database_url") if is_shared else None
    with Library.own(home, database_url=url) as library:
        yield library
