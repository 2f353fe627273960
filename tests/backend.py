"""
What the servers of tests keep their data in, and who tunes for them.

Unless the environment says otherwise, each has SQLite and its folder, and tunes in a child of its own. With
`TUNERY_TEST_BACKEND=worker` or `=ray`, each has a PostgreSQL database of its own and a prefix in an S3 store, and a
worker with another data folder tunes: one in this process, or one that a Ray cluster places. `make scale` runs the
tests of the API and the official clients so.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, make_url

from tests.postgres import Postgres
from tests.ray_cluster import serving_ray
from tests.s3 import serving_s3
from tunery.config import ALONE, Shared
from tunery.server.ray_executor import RaySettings
from tunery.server.work import WorkerSettings, working

VARIABLE = "TUNERY_TEST_BACKEND"
WORKER, RAY = "worker", "ray"


@dataclass(slots=True)
class Team:
    """A PostgreSQL server and an S3 store for all libraries of a test session, and how they are tuned for."""

    executor: str
    postgres: Postgres
    tables_url: str  # of a database with empty tables, to be copied
    bucket: str
    _known: dict[Path, Shared] = field(default_factory=dict)

    def shared_by(self, home: Path) -> Shared:
        """Return what the library of a data folder shares: the same one each time, empty at first."""
        if home not in self._known:
            url = self.postgres.url(self.tables_url)
            self._known[home] = Shared(url, f"{self.bucket}/{secrets.token_hex(8)}")
        return self._known[home]

    def forget(self, home: Path) -> None:
        """Delete the database of a library that no test needs any more; thousands of them would fill the disk."""
        url = self._known.pop(home).database_url
        assert url is not None
        self.postgres.drop(url)


_team: Team | None = None


def chosen() -> str | None:
    """Return who tunes for the servers of this test session; None if they do it themselves."""
    found = os.environ.get(VARIABLE) or None
    if found not in (None, WORKER, RAY):
        raise pytest.UsageError(f"{VARIABLE} is {WORKER} or {RAY}, not {found!r}.")
    return found


@contextmanager
def sharing(postgres: Postgres, tables_url: str, executor: str) -> Iterator[None]:
    """Let libraries of this process share a database and a store within the block."""
    global _team
    with serving_s3() as bucket, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")  # before the first child: all of them get its environment
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        _team = Team(executor, postgres, tables_url, bucket)
        try:
            yield
        finally:
            _team = None


def shared_by(home: Path) -> Shared:
    """Return what the library of a data folder shares: nothing, unless this session has a team."""
    return ALONE if _team is None else _team.shared_by(home)


def forget(home: Path) -> None:
    """Delete what `shared_by` made."""
    if _team is not None:
        _team.forget(home)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a server has to be told so that somebody else tunes for it; by default it does so itself."""

    shared: Shared = ALONE
    ray: RaySettings | None = None
    token: dict[str, str] = field(default_factory=dict)  # of the Ray cluster

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a server in this process."""
        return {} if self.shared is ALONE else {"shared": self.shared, "ray": self.ray, "tunes": False}

    @property
    def options(self) -> list[str]:
        """Options of `tunery serve`."""
        if self.shared is ALONE:
            return []
        return ["--no-tuning"] if self.ray is None else ["--executor", "ray", "--ray-workers", "1"]

    @property
    def environment(self) -> dict[str, str]:
        """Environment of `tunery serve`."""
        urls = {"TUNERY_DATABASE_URL": self.shared.database_url, "TUNERY_STORE_URL": self.shared.store_url}
        return {**{name: url for name, url in urls.items() if url is not None}, **self.token}


@contextmanager
def tuning_for(home: Path, default_base: str, *, evaluates: bool = True) -> Iterator[Elsewhere]:
    """Within the block somebody else tunes for a server with this data folder, if this session has a team."""
    if _team is None:
        yield Elsewhere()
        return
    shared, other_home = _team.shared_by(home), beside(home)
    if _team.executor == WORKER:
        with working(WorkerSettings(other_home, default_base, shared, evaluates)):
            yield Elsewhere(shared)
        return
    token = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    with serving_ray(other_home, environment=token) as node:
        yield Elsewhere(shared, RaySettings(node.address, 1, 1), node.environment)


def engine_of(home: Path) -> Engine:
    """Return the database of a data folder, for tests that look at its rows past the program."""
    if _team is None:
        return create_engine(f"sqlite:///{home / 'tunery.sqlite3'}", connect_args={"timeout": 10})
    return create_engine(make_url(str(_team.shared_by(home).database_url)).set(drivername="postgresql+psycopg"))


def beside(home: Path) -> Path:
    """Return the data folder of another machine that has the same bases."""
    other = home.with_name(f"{home.name}-elsewhere")
    if not other.exists():
        other.mkdir()
        (home / "bases").mkdir(parents=True, exist_ok=True)
        (other / "bases").symlink_to(home / "bases")
    return other
