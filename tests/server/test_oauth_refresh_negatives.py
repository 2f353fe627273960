"""Refresh, access and revoked tokens of the authorization server: which are refused, and when they end."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.server.accounts_app import Clock, browser
from tests.server.oauth_flow import add_app, asked, consent, opens, renew, signed_in
from tunery.service.access import CLOUD_PLATFORM, TUNING
from tunery.service.accounts.accounts import Accounts

KINDS = pytest.mark.parametrize("is_public", [True, False], ids=["public", "confidential"])


# --- refresh tokens ---------------------------------------------------------------------------------------------------


def test_an_exchanged_refresh_token_ends_the_sign_in(ann: TestClient, accounts: Accounts) -> None:
    """Thief or user, the second one to renew ends access for both."""
    app = add_app(accounts)
    first = signed_in(ann, app)
    second = renew(ann, app, first["refresh_token"]).json()

    assert renew(ann, app, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert not opens(ann, second["access_token"])
    assert renew(ann, app, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_two_renewals_at_once_give_one_token_at_most(app: FastAPI, ann: TestClient, accounts: Accounts) -> None:
    """At most one of eight simultaneous renewals gets tokens, and those end, too."""
    program = add_app(accounts)
    spent = signed_in(ann, program)["refresh_token"]
    replies: list[Any] = []

    def use() -> None:
        with browser(app) as web:
            replies.append(renew(web, program, spent))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    given = [reply.json() for reply in replies if reply.status_code == 200]
    assert len(given) <= 1
    assert not any(opens(ann, tokens["access_token"]) for tokens in given)


@KINDS
def test_a_refresh_token_of_another_client_is_refused(ann: TestClient, accounts: Accounts, is_public: bool) -> None:
    """It keeps working for its own client."""
    owner, thief = add_app(accounts, is_public=is_public), add_app(accounts, is_public=is_public)
    tokens = signed_in(ann, owner)

    assert renew(ann, thief, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert renew(ann, owner, tokens["refresh_token"]).status_code == 200


@KINDS
@pytest.mark.parametrize("scope", [CLOUD_PLATFORM, f"{TUNING} {CLOUD_PLATFORM}", "everything"])
def test_a_renewal_cannot_widen_the_scope(ann: TestClient, accounts: Accounts, is_public: bool, scope: str) -> None:
    """More than the user consented to is invalid_scope."""
    app = add_app(accounts, is_public=is_public)
    tokens = signed_in(ann, app)

    assert renew(ann, app, tokens["refresh_token"], scope=scope).json()["error"] == "invalid_scope"


@KINDS
@pytest.mark.parametrize("days", [30, 89], ids=["idle", "idle-long"])
def test_an_unused_sign_in_ends(ann: TestClient, accounts: Accounts, clock: Clock, is_public: bool, days: int) -> None:
    """After 30 days without a renewal the refresh token is refused."""
    app = add_app(accounts, is_public=is_public)
    tokens = signed_in(ann, app)
    clock.go_on(days=days)

    assert renew(ann, app, tokens["refresh_token"]).json()["error"] == "invalid_grant"


@KINDS
def test_a_sign_in_ends_after_ninety_days_however_often_it_is_renewed(
    ann: TestClient, accounts: Accounts, clock: Clock, is_public: bool
) -> None:
    """Rotation does not extend it."""
    app = add_app(accounts, is_public=is_public)
    token = signed_in(ann, app)["refresh_token"]
    for _ in range(4):
        clock.go_on(days=20)
        token = renew(ann, app, token).json().get("refresh_token", token)
    clock.go_on(days=10)

    assert renew(ann, app, token).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("token", ["", "x", "tny_r_" + "A" * 49])
def test_an_unknown_refresh_token_is_refused(ann: TestClient, accounts: Accounts, token: str) -> None:
    """Guesses get an error."""
    assert renew(ann, add_app(accounts), token).status_code == 400


def test_tokens_are_not_interchangeable(ann: TestClient, accounts: Accounts) -> None:
    """A refresh token does not open the API, an access token does not renew, and a code is not a token."""
    app = add_app(accounts)
    tokens = signed_in(ann, app)

    assert not opens(ann, tokens["refresh_token"])
    assert renew(ann, app, tokens["access_token"]).json()["error"] == "invalid_grant"
    assert not opens(ann, consent(ann, app)["code"])


def test_an_access_token_lives_for_an_hour(ann: TestClient, accounts: Accounts, clock: Clock) -> None:
    """After an hour it is 401."""
    tokens = signed_in(ann, add_app(accounts))
    clock.go_on(seconds=3600)

    assert not opens(ann, tokens["access_token"])


def test_a_disabled_user_is_out_at_once(ann: TestClient, accounts: Accounts) -> None:
    """Tokens, renewals and the browser of a disabled user stop working."""
    app = add_app(accounts, is_public=False)
    tokens = signed_in(ann, app)

    accounts.users.set_disabled("ann@example.com", True)

    assert not opens(ann, tokens["access_token"])
    assert renew(ann, app, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert asked(ann, app).headers["location"].startswith("/signin")


# --- revocation and introspection -------------------------------------------------------------------------------------


def test_introspection_needs_a_secret(ann: TestClient, accounts: Accounts) -> None:
    """A public client cannot introspect, not even its own token."""
    app = add_app(accounts)
    token = signed_in(ann, app)["access_token"]

    reply = ann.post("/oauth/introspect", data={"token": token, **app.form})

    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


def test_a_token_of_another_client_cannot_be_revoked(ann: TestClient, accounts: Accounts) -> None:
    """The token keeps working."""
    app, other = add_app(accounts), add_app(accounts)
    tokens = signed_in(ann, app)

    ann.post("/oauth/revoke", data={"token": tokens["access_token"], **other.form})

    assert opens(ann, tokens["access_token"])
