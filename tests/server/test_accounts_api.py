"""The API extension with which commands manage users, keys and logins."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from tests.server.accounts_app import Clock
from tests.server.conftest import PASSWORD
from tests.server.oauth_flow import add_app, signed_in
from tunery.cli.login import new_key_pair
from tunery.service.access import CLOUD_PLATFORM, TUNING
from tunery.service.accounts.accounts import Accounts
from tunery.service.library import Library

PATHS = [
    ("GET", "users"),
    ("POST", "users"),
    ("PATCH", "users/ann@example.com"),
    ("POST", "setupLinks"),
    ("GET", "groups"),
    ("PUT", "groups/team@example.com"),
    ("DELETE", "groups/team@example.com"),
    ("GET", "keys"),
    ("POST", "keys"),
    ("DELETE", "keys/x"),
    ("GET", "tokens"),
    ("DELETE", "tokens/x"),
    ("GET", "clients"),
    ("POST", "clients"),
    ("DELETE", "clients/x"),
    ("GET", "auditEvents"),
]


@pytest.fixture
def admin(web: TestClient, accounts: Accounts, library: Library) -> TestClient:
    """Return a client with the local token."""
    accounts.local_token.start()
    web.headers["Authorization"] = f"Bearer {library.folder.local_token.read_text()}"
    return web


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("who", ["nobody", "key", "old cookie", "user's cookie", "user", "admin without scope"])
def test_only_administrators_with_a_token_for_everything(
    web: TestClient, accounts: Accounts, clock: Clock, who: str, method: str, path: str
) -> None:
    """All others get 401 or 403 before anything of their request is read."""
    if who == "key":
        web.headers["x-goog-api-key"] = accounts.keys.create("")[1]
    elif who in ("old cookie", "user's cookie"):
        user = "local" if who == "old cookie" else "ann@example.com"
        accounts.users.set_password(user, PASSWORD)
        web.post("/signin", json={"user": user, "password": PASSWORD})
        web.headers["Sec-Fetch-Site"] = "same-origin"
        clock.go_on(minutes=61 if who == "old cookie" else 0)
    elif who != "nobody":
        user, scope = ("ann@example.com", CLOUD_PLATFORM) if who == "user" else ("local", TUNING)
        web.headers["Authorization"] = f"Bearer {accounts.tokens.create_plain(user, [scope], 1)[1]}"

    reply = web.request(method, f"/v1beta/accounts/{path}")

    assert reply.status_code in (401, 403)


def test_an_administrator_who_has_just_signed_in(web: TestClient, accounts: Accounts) -> None:
    """The Studio's pages may manage users and keys for an hour; a page of another server may not."""
    accounts.users.set_password("local", PASSWORD)
    web.post("/signin", json={"user": "local", "password": PASSWORD})
    own, foreign = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site", "Origin": "https://else.example"}

    assert web.get("/v1beta/accounts/users", headers=own).status_code == 200
    made = web.post("/v1beta/accounts/keys", json={"label": "a page"}, headers=own)
    assert made.json()["secret"]
    assert web.post("/v1beta/accounts/users", json={"id": "eve@example.com"}, headers=foreign).status_code == 403
    with_key = {**own, "x-goog-api-key": made.json()["secret"]}  # the key is the credential then, not the cookie
    assert web.get("/v1beta/accounts/users", headers=with_key).status_code in (401, 403)
    for path in ("logins", "tokens"):  # a cookie makes no tokens
        assert web.post(f"/v1beta/accounts/{path}", json={}, headers=own).status_code == 401


def test_users(admin: TestClient, accounts: Accounts) -> None:
    """Users are added, listed and changed; hashes are not shown."""
    body = {"id": "Eve@example.com", "password": "a good password", "isAdmin": True}

    made = admin.post("/v1beta/accounts/users", json=body).json()
    listed = admin.get("/v1beta/accounts/users").json()["users"]
    changed = admin.patch("/v1beta/accounts/users/eve@example.com", json={"isDisabled": True}).json()

    assert (made["id"], made["isAdmin"], made["hasPassword"]) == ("eve@example.com", True, True)
    assert [user["id"] for user in listed] == ["ann@example.com", "bob@example.com", "eve@example.com", "local"]
    assert changed["isDisabled"] is True
    assert "argon2" not in json.dumps(listed)
    assert admin.post("/v1beta/accounts/users", json=body).status_code == 409
    assert admin.post("/v1beta/accounts/users", json={"id": "x@y.z", "admin": True}).status_code == 400
    assert admin.patch("/v1beta/accounts/users/nobody@example.com", json={}).status_code == 404
    assert accounts.users.get("eve@example.com").is_disabled


def test_groups(admin: TestClient) -> None:
    """Groups are set, listed and deleted."""
    admin.put("/v1beta/accounts/groups/team@example.com", json={"members": ["ann@example.com"]})

    assert admin.get("/v1beta/accounts/groups").json()["groups"][0]["members"] == ["ann@example.com"]
    assert admin.delete("/v1beta/accounts/groups/team@example.com").json() == {}
    assert admin.delete("/v1beta/accounts/groups/team@example.com").status_code == 404


def test_keys(admin: TestClient) -> None:
    """The secret is shown once; a key file is registered by its public half."""
    made = admin.post("/v1beta/accounts/keys", json={"label": "phone"}).json()
    body = {"address": "ci@tunery.invalid", "publicKey": new_key_pair()[1]}
    robot = admin.post("/v1beta/accounts/keys", json=body).json()

    listed = admin.get("/v1beta/accounts/keys").json()["keys"]

    assert made["secret"].startswith("tny_k_")
    assert (robot["address"], robot["user"]) == ("ci@tunery.invalid", "local")
    assert {key["id"] for key in listed} == {made["id"], robot["id"]}
    assert not any("secret" in key for key in listed)
    assert admin.delete(f"/v1beta/accounts/keys/{robot['id']}").json() == {}
    assert admin.delete(f"/v1beta/accounts/keys/{robot['id']}").status_code == 404
    assert admin.post("/v1beta/accounts/keys", json={"publicKey": "x"}).status_code == 400


def test_clients(admin: TestClient) -> None:
    """Clients can be public, confidential or desktop clients."""
    public = {"name": "a", "redirectUris": ["http://127.0.0.1/"], "isPublic": True}

    assert "secret" not in admin.post("/v1beta/accounts/clients", json=public).json()
    assert admin.post("/v1beta/accounts/clients", json=public | {"isPublic": False}).json()["secret"]
    desktop = admin.post("/v1beta/accounts/clients", json={"name": "b", "isDesktop": True}).json()
    assert "http://localhost/" in desktop["redirectUris"]
    wrong = public | {"redirectUris": ["http://evil.test/"]}
    assert admin.post("/v1beta/accounts/clients", json=wrong).status_code == 400
    assert len(admin.get("/v1beta/accounts/clients").json()["clients"]) == 3
    assert admin.delete(f"/v1beta/accounts/clients/{desktop['id']}").json() == {}


def test_a_login_of_the_local_user(admin: TestClient, accounts: Accounts) -> None:
    """The reply is the content of a credentials file; the login is listed and can be revoked."""
    made = admin.post("/v1beta/accounts/logins", json={"days": 5, "name": "laptop"}).json()

    assert set(made) == {"clientId", "clientSecret", "refreshToken"}
    listed = admin.get("/v1beta/accounts/tokens").json()["tokens"]
    assert [(token["user"], token["scope"]) for token in listed] == [("local", TUNING)]
    admin.delete(f"/v1beta/accounts/tokens/{listed[0]['id']}")
    assert accounts.tokens.find(made["refreshToken"]) is None


@pytest.mark.parametrize("path", ["logins", "tokens"])
def test_a_login_needs_a_fresh_sign_in(ann: TestClient, accounts: Accounts, path: str) -> None:
    """No cookie, key, plain token or token of another program makes a login."""
    url = f"/v1beta/accounts/{path}"
    program = signed_in(ann, add_app(accounts))["access_token"]
    plain = accounts.tokens.create_plain("ann@example.com", [CLOUD_PLATFORM], 1)[1]

    for token in (program, plain):
        assert ann.post(url, json={}, headers={"Authorization": f"Bearer {token}"}).status_code == 403
    assert ann.post(url, json={}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 401
    assert ann.post(url, json={}, headers={"x-goog-api-key": accounts.keys.create("")[1]}).status_code == 401


@pytest.mark.parametrize("scopes", [[], ["everything"], [TUNING, "everything"]])
def test_a_login_has_known_scopes(admin: TestClient, scopes: list[str]) -> None:
    """Unknown scopes are 400."""
    assert admin.post("/v1beta/accounts/logins", json={"scopes": scopes}).status_code == 400


def test_every_caller_may_ask_who_it_is(admin: TestClient, web: TestClient) -> None:
    """Anonymous callers get an answer, too."""
    assert admin.get("/v1beta/accounts/me").json()["isAdmin"] is True
    del web.headers["Authorization"]
    assert web.get("/v1beta/accounts/me").json()["scopes"] == []
