"""
Ids in paths never become paths: whatever stands in a URL, no file outside the data folder is opened.

300 requests by default; TUNERY_TEST_PATHS=100000 for the full figure.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.chaos import trainer
from tests.chaos.served import proof
from tests.server.conftest import new_home
from tests.service.samples import tuned
from tunery.engine.catalog import Catalog
from tunery.server.app import _routers, make_app
from tunery.server.http import Services
from tunery.service.accounts.accounts import Accounts
from tunery.service.answering import Answering
from tunery.service.bases import Downloads
from tunery.service.creation import Creation, Estimates
from tunery.service.library import Library
from tunery.service.reports import DataChecks, DataCurves, Evaluations
from tunery.service.worker import Worker

REQUESTS = int(os.environ.get("TUNERY_TEST_PATHS", "300"))

_PIECES = [
    "..",
    "../",
    "..\\",
    "/",
    "//",
    "%2f",
    "%2e%2e",
    "\0",
    "etc/passwd",
    "~",
    "C:",
    ".",
    "tunedModels",
    "kept",
    ":",
]
_HOSTILE = st.lists(st.sampled_from(_PIECES) | st.text(max_size=5), min_size=1, max_size=8).map("".join)


class Opened:
    """Files that were opened outside of the folders that may be."""

    def __init__(self) -> None:
        self.is_watching = False
        self.allowed: tuple[str, ...] = ()
        self.strange: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.is_watching and event in ("open", "os.listdir", "os.scandir", "os.remove", "os.rmdir", "os.mkdir"):
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
            # another server of this process removes the digest of its own database before it writes
            is_digest = Path(path).name == "tunery.sqlite3.sha256"
            is_load = re.fullmatch(r"/proc/(\d+/)?stat", path) is not None  # and looks at how busy the machine is
            if path and not is_digest and not is_load and not os.path.realpath(path).startswith(self.allowed):
                self.strange.append(path)

    @contextmanager
    def watching(self, *allowed: Path) -> Iterator[None]:
        code = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])}  # lazy imports
        machine = {
            "/proc/cpuinfo",
            "/proc/meminfo",
            "/sys/fs/cgroup",
            "/proc/1/stat",
            "/proc/sys/kernel/random/boot_id",
        }
        self.allowed = tuple(os.path.realpath(path) for path in (*allowed, *code, *machine))
        self.is_watching = True
        try:
            yield
        finally:
            self.is_watching = False


_OPENED = Opened()
sys.addaudithook(_OPENED)


@pytest.fixture
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    home = tmp_path / "home"
    with new_home(request, home) as shared, Library.own(home, shared=shared) as library:
        yield library


@pytest.fixture
def app(library: Library) -> FastAPI:
    """Return the app of a library with one tuned model; its children are not started."""
    tuned(library, id="kept")
    catalog = Catalog(library.folder.path)
    answering = Answering(library.folder.path, main=trainer.refusing)
    answering.stop()  # so that every question is refused
    accounts = Accounts(library.database, library.folder, address="http://127.0.0.1")
    accounts.local_token.start()
    return make_app(
        Services(
            library=library,
            catalog=catalog,
            accounts=accounts,
            answering=answering,
            creation=Creation(library, catalog, answering),
            estimates=Estimates(answering, library, catalog),
            evaluations=Evaluations(library, answering, catalog),
            data_checks=DataChecks(library, catalog),
            data_curves=DataCurves(library, catalog),
            downloads=Downloads(catalog),
            worker=Worker(library, main=trainer.main),
            address="http://127.0.0.1",
        )
    )


def test_no_id_leads_out_of_the_data_folder(
    app: FastAPI, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hostile ids in every place of every route: no 500, nothing opened elsewhere, the kept model whole."""
    uploads = tmp_path / "uploads"  # where files that are sent in are read
    uploads.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(uploads))
    routes = sorted(set(_routes()))
    assert len(routes) > 20

    @settings(max_examples=REQUESTS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(routes), st.lists(_HOSTILE, min_size=3, max_size=3), st.booleans())
    def ask(route: tuple[str, str], ids: list[str], is_quoted: bool) -> None:
        method, path = route
        assume((method, ids[0]) != ("DELETE", "kept"))  # which is no path, and would rightly be done
        for name in ("{model_id:id}", "{operation_id:id}", "{permission_id:id}", "{base_id:id}"):
            path = path.replace(name, quote(ids[0], safe="") if is_quoted else ids[0], 1)
            ids = ids[1:] + ids[:1]
        assert loop.run_until_complete(_status(app, library.folder.path, method, path, ids[0])) in {
            *range(200, 500),
            501,
            503,
        }

    loop = asyncio.new_event_loop()
    try:
        with _OPENED.watching(library.folder.path, uploads):
            ask()
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    assert _OPENED.strange == []
    assert library.adapter_folder(library.find("kept"))


def _routes() -> Iterator[tuple[str, str]]:
    for router in _routers():
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in route.methods:
                    yield method, f"/v1beta{route.path}"


async def _status(app: FastAPI, home: Path, method: str, path: str, query: str) -> int:
    """Ask the app directly, since a client would make the path decent first; return the status."""
    statuses: list[int] = []
    headers = [(name.lower().encode(), value.encode()) for name, value in ({"Host": "127.0.0.1"} | proof(home)).items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode("utf-8", "surrogatepass"), "headers": headers, "root_path": "",
        "query_string": f"tuned_model_id={quote(query, safe='')}&page_token={quote(query, safe='')}".encode(),
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip

    sent = iter([{"type": "http.request", "body": b"{}", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (message := next(sent, None)) is None:
            await asyncio.Event().wait()  # as clients do; a stream whose client never waits could not end
        return cast("dict[str, Any]", message)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(cast("Any", scope), receive, send)
    return statuses[0]
