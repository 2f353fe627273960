"""Fixtures for the tests of accounts over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests import backend
from tests.server.accounts_app import Clock, browser, make_accounts, make_app
from tests.server.api import Api, serving_api, write_base
from tunery.config import ALONE, Shared
from tunery.service.accounts import users
from tunery.service.accounts.accounts import Accounts
from tunery.service.library import Library

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True, scope="session")
def quick_hashes() -> Iterator[None]:
    """Make password hashes cost milliseconds instead of a quarter of a second and 64 MiB."""
    from argon2 import PasswordHasher

    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "_hasher", lambda: quick)
        yield


@pytest.fixture
def clock() -> Clock:
    """Return a clock that moves only by hand."""
    return Clock()


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with empty tables, to be copied: creating one takes longer than most tests."""
    home = tmp_path_factory.mktemp("empty") / "home"
    with Library.own(home):
        pass
    return home


@pytest.fixture(scope="session")
def base_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of the base `tiny`."""
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


@contextmanager
def new_home(request: pytest.FixtureRequest, home: Path) -> Iterator[Shared]:
    """Make a data folder for an empty library within the block; yield what it shares."""
    shared = backend.shared_by(home)
    if shared is ALONE:
        shutil.copytree(request.getfixturevalue("empty_home"), home)
        yield shared
        return
    try:
        yield shared
    finally:
        backend.forget(home)


@pytest.fixture(scope="session")
def one_api(
    request: pytest.FixtureRequest, base_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """Return the whole application, built once: its routes under four versions take longer than most tests."""
    home = tmp_path_factory.mktemp("api") / "home"
    with new_home(request, home) as shared, serving_api(home, base_files, shared) as api:
        yield api


@pytest.fixture
def api(one_api: Api) -> Iterator[Api]:
    """Return the whole application over an empty library, without worker and children."""
    yield one_api
    one_api.clear()


@pytest.fixture
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    """Return an empty library."""
    home = tmp_path / "home"
    with new_home(request, home) as shared, Library.own(home, shared=shared) as library:
        yield library


@pytest.fixture
def accounts(library: Library, clock: Clock) -> Accounts:
    """Return accounts with the users ann and bob, who have a password."""
    accounts = make_accounts(library, clock)
    accounts.users.add("ann@example.com", PASSWORD)
    accounts.users.add("bob@example.com", PASSWORD)
    return accounts


@pytest.fixture
def app(accounts: Accounts) -> FastAPI:
    """Return the application."""
    return make_app(accounts)


@pytest.fixture
def web(app: FastAPI) -> Iterator[TestClient]:
    """Return a browser that is not signed in."""
    with browser(app) as client:
        yield client


@pytest.fixture
def ann(web: TestClient) -> TestClient:
    """Return a browser in which ann is signed in."""
    reply = web.post("/signin", data={"user": "ann@example.com", "password": PASSWORD})
    assert reply.status_code == 303
    return web
