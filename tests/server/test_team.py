"""Servers on a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from tests.live import BASE, make_home, serving
from tests.postgres import Postgres
from tunery.config import Shared
from tunery.server.serve import ServerSettings, working


def test_a_model_is_tuned_listed_and_asked(postgres: Postgres, tmp_path: Path) -> None:
    """What a user does with a server is the same; after a restart the model is still there, and no file of SQLite."""
    home, url = make_home(tmp_path), postgres.url()
    with serving(home, shared=Shared(url)) as server, server.client() as client:
        server.tune(client, "numbers")
    with serving(home, shared=Shared(url)) as server, server.client() as client:
        listed = client.get("/v1beta/tunedModels").json()["tunedModels"]
        body = {"contents": [{"parts": [{"text": "3"}]}], "generationConfig": {"maxOutputTokens": 4}}
        reply = client.post("/v1beta/tunedModels/numbers:generateContent", json=body)

    assert [(model["name"], model["state"]) for model in listed] == [("tunedModels/numbers", "ACTIVE")]
    assert reply.status_code == 200, reply.text
    assert not list(home.glob("tunery.sqlite3*"))


def test_a_worker_elsewhere_tunes_for_a_server_that_does_not(postgres: Postgres, tmp_path: Path) -> None:
    """The server answers with an adapter that a worker with a data folder of its own made, fetched from the store."""
    shared = Shared(postgres.url(), (tmp_path / "store").as_uri())
    front, back = make_home(tmp_path / "front"), make_home(tmp_path / "back")
    with (
        serving(front, shared=shared, tunes=False) as server,
        server.client() as client,
        working(ServerSettings(back, BASE, shared=shared, evaluates=False)),
    ):
        server.tune(client, "numbers")
        assert not list(front.glob("models/*/*"))
        body = {"contents": [{"parts": [{"text": "3"}]}], "generationConfig": {"maxOutputTokens": 4}}
        reply = client.post("/v1beta/tunedModels/numbers:generateContent", json=body)

        assert reply.status_code == 200, reply.text
        assert len(list(front.glob("models/*/1"))) == 1
        client.delete("/v1beta/tunedModels/numbers")
        assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []
