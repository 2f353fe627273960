"""Servers on a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from tests.live import BASE, make_home, serving
from tests.postgres import Postgres
from tests.service.samples import a_request
from tunery.config import Shared
from tunery.server.work import WorkerSettings, working
from tunery.service.access import CLOUD_PLATFORM
from tunery.service.library import Library


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
        working(WorkerSettings(back, BASE, shared=shared, evaluates=False)),
    ):
        server.tune(client, "numbers")
        assert not list(front.glob("models/*/*"))
        body = {"contents": [{"parts": [{"text": "3"}]}], "generationConfig": {"maxOutputTokens": 4}}
        reply = client.post("/v1beta/tunedModels/numbers:generateContent", json=body)

        assert reply.status_code == 200, reply.text
        assert len(list(front.glob("models/*/1"))) == 1
        client.delete("/v1beta/tunedModels/numbers")
        assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_two_servers_show_the_same(postgres: Postgres, tmp_path: Path) -> None:
    """What one server did counts at the other at once: models, pages, permissions, tokens, sessions, sign-in links."""
    shared = Shared(postgres.url(), (tmp_path / "store").as_uri())
    with (
        serving(make_home(tmp_path / "one"), shared=shared, tunes=False, evaluates=False) as one,
        serving(make_home(tmp_path / "two"), shared=shared, tunes=False, evaluates=False) as two,
        one.client() as here,
        two.client() as there,
    ):
        names = [library_model(one.services.library, number) for number in range(3)]
        page = here.get("/v1beta/tunedModels", params={"pageSize": 2}).json()
        rest = there.get("/v1beta/tunedModels", params={"pageSize": 2, "pageToken": page["nextPageToken"]}).json()
        assert [model["name"] for model in page["tunedModels"] + rest["tunedModels"]] == names[::-1]

        one.services.accounts.users.add("ann@example.com")
        _, token = one.services.accounts.tokens.create_plain("ann@example.com", [CLOUD_PLATFORM], 1)
        with two.client(token) as ann:
            assert ann.get(f"/v1beta/{names[0]}").status_code == 403
            grant = {"granteeType": "USER", "emailAddress": "ann@example.com", "role": "READER"}
            assert here.post(f"/v1beta/{names[0]}/permissions", json=grant).status_code == 200
            assert ann.get(f"/v1beta/{names[0]}").status_code == 200
            session = one.services.accounts.sessions.start("ann@example.com")
            assert two.services.accounts.caller_of_session(session).user_id == "ann@example.com"
            one.services.accounts.users.set_disabled("ann@example.com", True)
            assert ann.get(f"/v1beta/{names[0]}").status_code == 401

        here.delete(f"/v1beta/{names[0]}")
        assert there.get(f"/v1beta/{names[0]}").status_code == 404


def library_model(library: Library, number: int) -> str:
    """Add a waiting tuned model of the user at this machine and return its name."""
    return library.create(a_request(id=f"numbers-{number}")).name
