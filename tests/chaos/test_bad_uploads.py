"""The corpus of bad files, sent to a running server (A-12): each error says what is wrong, and the server survives."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.chaos.served import Served
from tests.data.bad_files import BadFile, bad_files
from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a server that all files are sent to."""
    folder = tmp_path_factory.mktemp("uploads")
    Catalog(folder / "home").add(str(make_folder(folder / "base")), "tiny")
    with Served.fake(folder / "home") as server:
        yield server


@pytest.mark.parametrize("bad", [bad for bad in bad_files() if not bad.options], ids=lambda bad: bad.name)
def test_a_bad_file_is_answered(server: Served, bad: BadFile) -> None:
    """200 with an error among its problems, or 400 if too large; the server is healthy after each."""
    status, reply = server.ask("POST", f"datasets:parse?{urlencode({'fileName': bad.name})}", bad.content)

    if status == 400:
        assert "exceeds the limit" in reply["error"]["message"]
    else:
        assert status == 200, reply
        first = next(problem for problem in reply["problems"] if problem["level"] == "error")
        assert bad.words in first["message"]
    assert server.ask("GET", "serverInfo")[0] == 200
