"""The audit log: every deed has one event by the right person, in the transaction of what it records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.server.accounts_app import Clock
from tests.server.api import OWNER, Api
from tunery.service.access import CLOUD_PLATFORM
from tunery.service.accounts.accounts import Accounts
from tunery.service.database import audit, models
from tunery.service.library import Library

ADMIN = "local"
MODEL = "tunedModels/numbers"


@pytest.fixture
def admin(api: Api) -> TestClient:
    """Return the client of an administrator, with no model and nothing recorded."""
    client = api.client(ADMIN, CLOUD_PLATFORM)
    api.clear()
    with api.library.database.writing() as connection:
        audit.delete_before(connection, datetime.now(UTC))
    return client


def listed(admin: TestClient, **query: Any) -> list[dict[str, Any]]:
    reply = admin.get("/v1beta/accounts/auditEvents", params=query)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["auditEvents"])


def of_model(admin: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    """Return actor, action and details of what was done to the model, oldest first."""
    events = listed(admin, resource=MODEL)
    return [(event["actor"], event["action"], event["details"]) for event in reversed(events)]


def test_the_life_of_a_model(api: Api, admin: TestClient) -> None:
    """Tuning, sharing, exporting and deleting are recorded by name, without examples."""
    api.active("numbers")
    web, path = api.web, f"/v1beta/{MODEL}"
    web.patch(path, params={"updateMask": "displayName"}, json={"displayName": "my numbers"})
    given = web.post(f"{path}/permissions", json={"granteeType": "EVERYONE", "role": "READER"}).json()["name"]
    web.delete(f"/v1beta/{given}")
    assert web.get(f"{path}:export").status_code == 200
    web.post(f"{path}:transferOwnership", json={"emailAddress": "heir@example.com"})
    assert api.client("heir@example.com").delete(path).status_code == 200

    assert of_model(admin) == [
        (OWNER, "CreateTunedModel", {"base_model": "smollm2-135m-instruct", "examples": 15}),
        (OWNER, "UpdateTunedModel", {"fields": ["display_name"]}),
        (OWNER, "CreatePermission", {"grantee": "EVERYONE", "role": "READER"}),
        (OWNER, "DeletePermission", {"grantee": "EVERYONE", "role": "READER"}),
        (OWNER, "ExportTunedModel", {"format": "adapter"}),
        (OWNER, "TransferOwnership", {"grantee": "heir@example.com", "role": "OWNER"}),
        ("heir@example.com", "DeleteTunedModel", {"display_name": "my numbers"}),
    ]


def test_users_keys_and_sign_ins(web: TestClient, accounts: Accounts, library: Library) -> None:
    """The administrator acts, in handlers that run in the event loop and in threads; no secret is in the log."""
    boss = "boss@example.com"
    accounts.users.add(boss, is_admin=True)
    token = accounts.tokens.create_plain(boss, [CLOUD_PLATFORM], 1)[1]
    secrets = ["a good password", token, accounts.sessions.start("local")]
    web.headers["Authorization"] = f"Bearer {token}"
    web.post("/v1beta/accounts/users", json={"id": "eve@example.com", "password": secrets[0]})
    web.put("/v1beta/accounts/groups/team@example.com", json={"members": ["eve@example.com"]})
    key = web.post("/v1beta/accounts/keys", json={"label": "phone", "user": "eve@example.com"}).json()
    web.delete(f"/v1beta/accounts/keys/{key['id']}")
    web.patch("/v1beta/accounts/users/eve@example.com", json={"isDisabled": True})

    events = audit.events(library.database, limit=100)
    done = [(event.action, event.resource) for event in reversed(events) if event.actor == boss]
    assert done[-5:] == [
        ("CreateUser", "users/eve@example.com"),
        ("SetGroup", "groups/team@example.com"),
        ("CreateKey", f"keys/{key['id']}"),
        ("DeleteKey", f"keys/{key['id']}"),
        ("DisableUser", "users/eve@example.com"),
    ]
    assert ("local", "SignIn") in [(event.actor, event.action) for event in events]
    assert not any(secret in str(events) for secret in [*secrets, key["secret"]])


def test_what_was_refused_is_not_there(api: Api, admin: TestClient) -> None:
    """A stranger's attempts, and a repeated cancellation of a finished job, change nothing."""
    api.active("numbers")
    before = of_model(admin)
    stranger = api.client("stranger@example.com")
    assert stranger.delete(f"/v1beta/{MODEL}").status_code == 403
    assert stranger.get(f"/v1beta/{MODEL}:export").status_code == 403
    assert stranger.get("/v1beta/accounts/auditEvents").status_code == 403
    api.library.request_cancel("numbers")

    assert of_model(admin) == before


@pytest.mark.usefixtures("admin")
def test_an_event_and_its_deed_are_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the event cannot be written, nothing is deleted; where nothing is deleted, there is no event."""
    api.active("numbers")

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(audit, "record", failing)
        with pytest.raises(RuntimeError):
            api.library.delete("numbers")
    assert api.library.find("numbers").id == "numbers"
    with monkeypatch.context() as patched:
        patched.setattr(models, "remove_model", failing)
        with pytest.raises(RuntimeError):
            api.library.delete("numbers")
    assert "DeleteTunedModel" not in [event.action for event in audit.events(api.library.database, limit=100)]


def test_pages(api: Api, admin: TestClient) -> None:
    """Pages follow each other without gaps, even if something happens in between."""
    for number in range(5):
        api.queued(f"model-{number}")
    wanted = {"actor": OWNER, "pageSize": 2}
    found, token = [], None
    while True:
        query = wanted if token is None else {**wanted, "pageToken": token}
        page = admin.get("/v1beta/accounts/auditEvents", params=query).json()
        found += [event["resource"] for event in page["auditEvents"] if event["action"] == "CreateTunedModel"]
        token = page.get("nextPageToken")
        if token is None:
            break
        api.queued(f"later-{len(found)}")

    assert found == [f"tunedModels/model-{number}" for number in (4, 3, 2, 1, 0)]


def test_the_log_ends_after_a_year(accounts: Accounts, library: Library, clock: Clock) -> None:
    """The daily tidying removes events about people after 400 days, and none before."""
    accounts.users.add("eve@example.com")
    clock.go_on(days=audit.KEPT_DAYS - 1)
    accounts.tidy()
    assert audit.events(library.database, limit=100)
    clock.go_on(days=2)
    accounts.tidy()
    assert not audit.events(library.database, limit=100)
