"""Servers on a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from tests.live import make_home, serving
from tests.postgres import Postgres


def test_a_model_is_tuned_listed_and_asked(postgres: Postgres, tmp_path: Path) -> None:
    """What a user does with a server is the same; after a restart the model is still there, and no file of SQLite."""
    home, url = make_home(tmp_path), postgres.url()
    with serving(home, database_url=url) as server, server.client() as client:
        server.tune(client, "numbers")
    with serving(home, database_url=url) as server, server.client() as client:
        listed = client.get("/v1beta/tunedModels").json()["tunedModels"]
        body = {"contents": [{"parts": [{"text": "3"}]}], "generationConfig": {"maxOutputTokens": 4}}
        reply = client.post("/v1beta/tunedModels/numbers:generateContent", json=body)

    assert [(model["name"], model["state"]) for model in listed] == [("tunedModels/numbers", "ACTIVE")]
    assert reply.status_code == 200, reply.text
    assert not list(home.glob("tunery.sqlite3*"))
