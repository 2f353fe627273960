"""Fixtures for the tests of `service`: a data folder and a library that this process owns."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunery.config import Shared
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


# files whose tests of a library run on both databases: what reads and writes rows, not what starts processes
ON_BOTH = {
    "database/test_reports",
    "test_creation",
    "test_library_tasks",
    "test_listing",
    "test_polling",
    "test_prompt_limits",
    "test_requests",
    "test_sharing",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "library" in metafunc.fixturenames and _place(metafunc) in ON_BOTH:
        metafunc.parametrize("library", ["sqlite", "postgres"], indirect=True)


def _place(metafunc: pytest.Metafunc) -> str:
    return metafunc.definition.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()


@pytest.fixture
def library(request: pytest.FixtureRequest, home: Path) -> Iterator[Library]:
    """Return an empty library, owned by this process, on the database that the test was made for."""
    is_shared = getattr(request, "param", "sqlite") == "postgres"
    url = request.getfixturevalue("database_url") if is_shared else None
    with Library.own(home, shared=Shared(url)) as library:
        yield library
