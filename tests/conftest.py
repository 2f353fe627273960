"""What tests of several packages share: one server for all of them, started when the first asks for it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from tests import backend, processes
from tests.forked import fork_children
from tests.live import TUNED, Live, make_home, serving
from tests.postgres import Postgres, serving_postgres
from tunery.service.database import connection as schema
from tunery.service.database.postgres import PostgresDatabase

# files with tests of half a minute and more, on two busy cores
LONG = (
    "acceptance",
    "studio/test_default_base.py",
    "studio/test_playground.py",
    "studio/test_running.py",
    "studio/test_importing.py",
    "studio/test_exports.py",
    "studio/test_library.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-processes", action="store_true", help="leave out tests that start processes (make check)")


def pytest_configure(config: pytest.Config) -> None:
    processes.watch(all_threads=config.getoption("--no-processes"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that start processes, or leave them out; let each worker of xdist begin with long files."""
    is_whole_suite = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if is_whole_suite and (unknown := processes.unknown_places(items)):
        raise pytest.UsageError(f"No test is at these PLACES of tests/processes.py: {', '.join(unknown)}")
    # long files first, so that no core waits at the end; the Studio last: its browser keeps an event loop running in
    # the worker, where other tests could not start one; in it, too, long files first, the longest at the head
    items.sort(key=lambda item: (processes.folder(item) == "studio", _rank(item)))
    for item in items:
        if processes.starts_process(item):
            item.add_marker("process")
    if config.getoption("--no-processes"):
        left_out = [item for item in items if item.get_closest_marker("process")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("process")]


def _rank(item: pytest.Item) -> int:
    """Return the place in `LONG` of a test's folder or file."""
    names = processes.folder(item), item.path.relative_to(processes.HERE).as_posix()
    return next((place for place, name in enumerate(LONG) if name in names), len(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with processes.guarding(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with processes.guarding(item):
        yield


@pytest.fixture(scope="session", autouse=True)
def back_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start what the servers of this session share, if TUNERY_TEST_BACKEND asks for it."""
    executor = backend.chosen()
    if executor is None:
        yield
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with backend.sharing(postgres, request.getfixturevalue("tables_url"), executor):
        yield


@pytest.fixture(scope="session", autouse=True)
def forked_children(back_end: None) -> Iterator[None]:  # noqa: ARG001  # whose environment the children get
    """Fork the children of servers in this process, except in tests/service, which tests how they start and end."""
    with pytest.MonkeyPatch.context() as patch:
        fork_children(patch)
        yield


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a running server with the base `tiny` and its tuned model `numbers`."""
    with serving(make_home(tmp_path_factory.mktemp("live"))) as live:
        with live.client() as client:
            live.tune(client, TUNED)
        yield live


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a running PostgreSQL server."""
    with serving_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def tables_url(postgres: Postgres) -> str:
    """Return the URL of a PostgreSQL database with empty tables, to be copied: making them takes longer."""
    url = postgres.url()
    with closing(PostgresDatabase(url)) as database:
        schema.upgrade(database)
    return url


@pytest.fixture
def database_url(postgres: Postgres, tables_url: str) -> Iterator[str]:
    """Return the URL of a PostgreSQL database with empty tables of its own."""
    url = postgres.url(tables_url)
    yield url
    postgres.drop(url)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Take back the log that a test set up: it is bound to a stream that pytest closes, while servers go on logging."""
    log = logging.getLogger("tunery")
    before = list(log.handlers), log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before
