"""Browsers: signing in and out, the cookie, and its worth as a credential of the API."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.server.accounts_app import ADDRESS, Clock, browser, make_app
from tests.server.conftest import PASSWORD
from tests.server.oauth_flow import hidden
from tunery.service.access import TUNING
from tunery.service.accounts import users
from tunery.service.accounts.accounts import Accounts

OWN = {"Origin": ADDRESS}
ANN = {"user": "ann@example.com", "password": PASSWORD}


def test_a_form_signs_a_browser_in(web: TestClient) -> None:
    """The cookie is hidden from scripts and not sent by other sites."""
    reply = web.post("/signin", data=ANN | {"next": "/studio?x=1"})

    assert (reply.status_code, reply.headers["location"]) == (303, "/studio?x=1")
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("tunery_session_8000=tny_s_")
    for part in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie


def test_under_tls_the_cookie_is_for_this_host_alone(accounts: Accounts) -> None:
    """The cookie is `__Host-` and Secure."""
    with browser(make_app(accounts, "https://tunery.example"), "https://tunery.example") as web:
        reply = web.post("/signin", json=ANN)

    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("__Host-tunery_session=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert reply.headers["strict-transport-security"]


def test_our_own_pages_sign_in_with_json(web: TestClient) -> None:
    """The reply names the user; an error is in the JSON envelope."""
    assert web.post("/signin", json=ANN).json() == {"user": "ann@example.com"}
    wrong = web.post("/signin", json=ANN | {"password": "wrong password"})

    assert (wrong.status_code, wrong.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert "set-cookie" not in wrong.headers


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"user": 1}', b'{"user": "a"}'])
def test_malformed_json_is_refused(web: TestClient, body: bytes) -> None:
    """The reply is 400 or 401, never a server error."""
    reply = web.post("/signin", content=body, headers={"Content-Type": "application/json"})

    assert reply.status_code in (400, 401)


def test_the_sixth_wrong_password_is_429(web: TestClient) -> None:
    """The page says so, keeps the user name and repeats no password."""
    replies = [web.post("/signin", data=ANN | {"password": f"wrong {n} canary"}) for n in range(6)]

    assert [reply.status_code for reply in replies] == [401] * 5 + [429]
    assert "ann@example.com" in replies[-1].text
    assert not any("canary" in reply.text for reply in replies)


@pytest.mark.parametrize(
    "target", ["https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "javascript:x", "", "/a\nb"]
)
def test_the_redirect_stays_on_this_server(web: TestClient, target: str) -> None:
    """A foreign address is replaced by the start page."""
    reply = web.post("/signin", data=ANN | {"next": target})

    assert reply.headers["location"] == "/"


def test_a_cookie_is_a_credential_for_our_own_pages(ann: TestClient) -> None:
    """Reading needs only the cookie, changing needs our own origin, too."""
    assert ann.get("/v1beta/whoami").json() == {"user": "ann@example.com", "scopes": [TUNING], "hasKey": False}
    assert ann.post("/v1beta/whoami", headers={"Origin": ADDRESS}).status_code == 200
    assert ann.post("/v1beta/whoami", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "https://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_cookie_from_another_page_changes_nothing(ann: TestClient, headers: dict[str, str]) -> None:
    """Without our origin the cookie is not a credential (CSRF)."""
    assert ann.post("/v1beta/whoami", headers=headers).status_code == 403


def test_a_token_takes_precedence_over_the_cookie(ann: TestClient, accounts: Accounts) -> None:
    """A bad token is 401 even with a good cookie."""
    _, secret = accounts.tokens.create_plain("bob@example.com", [TUNING], 1)

    good = ann.get("/v1beta/whoami", headers={"Authorization": f"bearer {secret}"})
    bad = ann.get("/v1beta/whoami", headers={"Authorization": "Bearer nothing"})

    assert good.json()["user"] == "bob@example.com"
    assert (bad.status_code, bad.headers["www-authenticate"]) == (401, "Bearer")


def test_signing_out_ends_the_session(ann: TestClient, accounts: Accounts) -> None:
    """The session ends on the server, not only in the browser."""
    secret = ann.cookies["tunery_session_8000"]

    assert ann.post("/signout", headers={"Origin": ADDRESS}).status_code == 200

    assert accounts.sessions.find(secret) is None
    assert "tunery_session_8000" not in ann.cookies


def test_another_page_cannot_sign_out(ann: TestClient) -> None:
    """Signing out needs our origin, too."""
    assert ann.post("/signout").status_code == 403
    assert ann.get("/v1beta/whoami").status_code == 200


def test_signing_in_again_ends_the_earlier_session(ann: TestClient, accounts: Accounts) -> None:
    """A secret from before a sign-in is worthless after it (session fixation)."""
    earlier = ann.cookies["tunery_session_8000"]
    ann.post("/signin", json=ANN)

    assert accounts.sessions.find(earlier) is None
    assert ann.cookies["tunery_session_8000"] != earlier


def test_an_ended_session_is_401(ann: TestClient, clock: Clock) -> None:
    """Our pages can ask for a sign-in and keep what was typed."""
    clock.go_on(days=31)

    assert ann.get("/v1beta/whoami").status_code == 401


def test_a_set_up_link_signs_in_once(web: TestClient, accounts: Accounts) -> None:
    """The second use shows a page with the reason."""
    secret = accounts.sessions.new_setup_link()

    first = web.post("/setup", data={"token": secret}, headers=OWN)

    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert web.get("/v1beta/whoami").json()["user"] == "local"
    assert web.post("/setup", data={"token": secret}, headers=OWN).status_code == 401
    assert web.get("/setup", params={"token": secret}).status_code == 401


def test_a_link_alone_signs_nobody_in(web: TestClient, accounts: Accounts) -> None:
    """It leads to a page that names its user and has a button, however often it is opened, and keeps the session."""
    accounts.users.add("eve@example.com")
    secret = accounts.sessions.new_setup_link("eve@example.com")

    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}):
        page = web.get("/setup", params={"token": secret}, headers=headers)
        assert (page.status_code, "set-cookie" in page.headers) == (200, False)
        assert "signs this browser in as eve@example.com" in page.text
        assert hidden(page.text, "token") == secret
    assert web.get("/v1beta/whoami").json()["user"] is None


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.test"}, {"Origin": "null"}, {}], ids=str)
def test_no_other_page_sends_the_form_of_a_link(web: TestClient, accounts: Accounts, headers: dict[str, str]) -> None:
    """A page of another site, or one that hides where it is from, signs nobody in as its author."""
    secret = accounts.sessions.new_setup_link()

    refused = web.post("/setup", data={"token": secret}, headers=headers)

    assert (refused.status_code, "set-cookie" in refused.headers) == (403, False)
    assert web.post("/setup", data={"token": secret}, headers=OWN).status_code == 303


def test_a_new_user_chooses_a_password_after_the_link(web: TestClient, accounts: Accounts) -> None:
    """The link leads to the form, and the new password signs the user in."""
    accounts.users.add("eve@example.com")
    secret = accounts.sessions.new_setup_link("eve@example.com")
    assert web.post("/setup", data={"token": secret}, headers=OWN).headers["location"] == "/password"
    token = hidden(web.get("/password").text, "form_token")

    assert web.post("/password", data={"form_token": token, "password": "short"}).status_code == 400
    assert web.post("/password", data={"form_token": token, "password": "a better password"}).status_code == 303

    assert accounts.users.sign_in("eve@example.com", "a better password").id == "eve@example.com"


@pytest.mark.parametrize(
    ("user", "password"),
    [("x" * 60_000, "a good password"), ("ann@example.com", "x" * 60_000), ("nobody@example.com", "a good password")],
    ids=["a long name", "a long password", "an unknown name"],
)
def test_what_cannot_be_right_takes_as_long(
    web: TestClient, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, user: str, password: str
) -> None:
    """One hash is computed for each attempt, of a bounded password, and a bounded name is kept to count attempts."""
    hashed: list[str] = []
    matches = users._matches
    monkeypatch.setattr(users, "_matches", lambda given, known: hashed.append(given) or matches(given, known))

    assert web.post("/signin", json={"user": user, "password": password}).status_code == 401

    assert [len(given) <= users.MAX_PASSWORD_CHARACTERS for given in hashed] == [True]
    assert max(map(len, accounts.users._wrong_passwords._tries)) <= users.MAX_ADDRESS_CHARACTERS


def test_an_address_may_guess_a_few_times_a_minute(web: TestClient, clock: Clock) -> None:
    """Wrong passwords are counted for the address, too, whatever the names; right ones are not."""
    wrong = ({"user": f"u{number}@example.com", "password": "wrong"} for number in range(31))

    statuses = [web.post("/signin", json=one).status_code for one in wrong]

    assert statuses == [401] * 30 + [429]
    assert web.post("/signin", json=ANN).status_code == 429
    clock.go_on(seconds=61)
    assert [web.post("/signin", json=ANN).status_code for _ in range(35)] == [200] * 35


def test_a_long_password_is_not_cut(web: TestClient, accounts: Accounts) -> None:
    """What begins with the password, and is too long to be one, is wrong."""
    longest = "a1b" * 400
    accounts.users.set_password("ann@example.com", longest[: users.MAX_PASSWORD_CHARACTERS])

    for password, status in ((longest[: users.MAX_PASSWORD_CHARACTERS], 303), (longest, 401)):
        assert web.post("/signin", data=ANN | {"password": password}).status_code == status


def test_changing_a_password_needs_the_current_one(ann: TestClient, app: FastAPI) -> None:
    """A change signs out all other browsers."""
    with browser(app) as other:
        other.post("/signin", json=ANN)
        token = hidden(ann.get("/password").text, "form_token")
        form = {"form_token": token, "password": "a better password"}
        assert ann.post("/password", data=form | {"current": "wrong password"}).status_code == 401
        assert ann.post("/password", data=form | {"current": PASSWORD, "form_token": "x"}).status_code == 400

        assert ann.post("/password", data=form | {"current": PASSWORD}).status_code == 303

        assert ann.get("/v1beta/whoami").status_code == 200
        assert other.get("/v1beta/whoami").status_code == 401


def test_password_fields_suit_password_managers(web: TestClient, ann: TestClient) -> None:
    """They are masked, named for password managers, and take what is pasted."""
    fields = re.findall("<input[^>]*password[^>]*>", web.get("/signin").text + ann.get("/password").text)

    assert [field.split('autocomplete="')[1].split('"')[0] for field in fields] == [
        "current-password",
        "current-password",
        "new-password",
    ]
    assert all('type="password"' in field and "onpaste" not in field for field in fields)


def test_pages_cannot_be_framed_and_run_no_script(web: TestClient) -> None:
    """Their policy allows a style and a form, nothing else."""
    headers = web.get("/signin").headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert headers["cache-control"] == "no-store"
