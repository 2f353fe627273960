"""The Studio's files: how they are served, and the page shown if they were not built."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tunery.server.app import add_frontend

ROOT = Path(__file__).parents[2]


@pytest.fixture
def built(tmp_path: Path) -> TestClient:
    (tmp_path / "assets").mkdir()
    (tmp_path / "samples").mkdir()
    (tmp_path / "index.html").write_text("<title>Studio</title>")
    (tmp_path / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "assets" / "index-abc.js.gz").write_bytes(gzip.compress(b"1"))
    return _client(tmp_path)


def _client(folder: Path) -> TestClient:
    app = FastAPI()
    add_frontend(app, folder)
    return TestClient(app, follow_redirects=False)


def test_every_page_is_the_one_file_and_never_kept(built: TestClient) -> None:
    """Every page gets the index, which browsers revalidate each time."""
    replies = [built.get(path) for path in ("/studio/", "/studio/models/x", "/studio/new")]

    assert {reply.text for reply in replies} == {"<title>Studio</title>"}
    assert {reply.headers["cache-control"] for reply in replies} == {"no-cache"}


def test_hashed_files_are_kept_for_good(built: TestClient) -> None:
    """Their names change with their content."""
    assert "immutable" in built.get("/studio/assets/index-abc.js").headers["cache-control"]


@pytest.mark.parametrize(
    ("accepts", "coding"), [("gzip, deflate, br", "gzip"), ("gzip;q=0, deflate", None), ("br", None), ("", None)]
)
def test_files_are_sent_compressed_to_those_who_accept_it(built: TestClient, accepts: str, coding: str | None) -> None:
    """The build has compressed them; the type is that of the script, and caches keep the forms apart."""
    reply = built.get("/studio/assets/index-abc.js", headers={"Accept-Encoding": accepts})

    assert (reply.text, reply.headers.get("content-encoding")) == ("1", coding)
    assert reply.headers["content-type"].partition(";")[0] == "text/javascript"
    assert reply.headers["vary"] == "Accept-Encoding"
    assert built.get("/studio/assets/none.js", headers={"Accept-Encoding": accepts}).status_code == 404


def test_scripts_and_styles_come_from_this_server_only(built: TestClient) -> None:
    """The policy allows nothing inline but one style element, named by its hash."""
    policy = built.get("/studio/").headers["content-security-policy"]

    assert "'unsafe-inline'" not in policy
    assert "'unsafe-eval'" not in policy
    assert "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-" in policy


@pytest.mark.parametrize(
    "path", ["/studio/assets/", "/studio/samples/", "/studio/assets", "/studio/samples/../assets/"]
)
def test_folders_are_not_listed(built: TestClient, path: str) -> None:
    """The address of a folder gives no names of its files."""
    assert "index-abc" not in built.get(path).text


def test_the_studio_writes_no_html_and_runs_no_text() -> None:
    """React makes text of all that users wrote; nothing goes round it, and no other channel is open."""
    ways_round = r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|eval|postMessage|WebSocket)\b"
    found = re.compile(rf"{ways_round}|document\.write|new Function|javascript:|addEventListener\(\"message\"")
    files = [path for ending in ("*.ts", "*.tsx") for path in (ROOT / "studio" / "src").rglob(ending)]

    assert files
    assert [path.name for path in files if found.search(path.read_text("utf-8"))] == []


def test_the_root_leads_to_the_studio(built: TestClient) -> None:
    """Who types the address of the server alone finds the page."""
    assert built.get("/").headers["location"] == "/studio/"


def test_without_a_build_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    """The API works without it; the page shows the command that builds it."""
    reply = _client(tmp_path).get("/studio/")

    assert reply.status_code == 200
    assert "make studio" in reply.text
