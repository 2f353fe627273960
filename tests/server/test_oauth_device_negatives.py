"""Sign-in on another device (RFC 8628): what the authorization server refuses."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.server.accounts_app import Clock, browser
from tests.server.oauth_flow import add_app, hidden
from tunery.service.access import TUNING
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.oauth import COMMAND_LINE, DEVICE


def begun(web: TestClient) -> dict[str, Any]:
    """Start the sign-in of a device."""
    codes: dict[str, Any] = web.post(
        "/oauth/device_authorization", data={"client_id": COMMAND_LINE, "scope": TUNING}
    ).json()
    return codes


def polled(web: TestClient, device_code: str, client_id: str = COMMAND_LINE) -> str:
    """Return the error that a polling device gets."""
    form = {"grant_type": DEVICE, "device_code": device_code, "client_id": client_id}
    return str(web.post("/oauth/token", data=form).json().get("error"))


def typed(web: TestClient, user_code: str, decision: str = "find") -> Any:
    """Return the reply to a typed code."""
    token = hidden(web.get("/oauth/device").text, "form_token")
    return web.post("/oauth/device", data={"form_token": token, "user_code": user_code, "decision": decision})


def test_five_wrong_user_codes_and_no_more(ann: TestClient, clock: Clock) -> None:
    """The sixth try is 429 even with the right code; later tries work again."""
    codes = begun(ann)
    for _ in range(5):
        assert typed(ann, "BBBB-BBBB").status_code == 404

    assert typed(ann, codes["user_code"]).status_code == 429
    clock.go_on(seconds=601)
    assert typed(ann, begun(ann)["user_code"]).status_code == 200


def test_right_user_codes_do_not_count(ann: TestClient) -> None:
    """Ten sign-ins in a row are fine."""
    assert [typed(ann, begun(ann)["user_code"]).status_code for _ in range(10)] == [200] * 10


def test_a_device_that_polls_too_often_must_slow_down(ann: TestClient, clock: Clock) -> None:
    """Each early poll makes the wait five seconds longer."""
    code = begun(ann)["device_code"]

    assert polled(ann, code) == "authorization_pending"
    assert polled(ann, code) == "slow_down"
    clock.go_on(seconds=6)
    assert polled(ann, code) == "slow_down"
    clock.go_on(seconds=15)
    assert polled(ann, code) == "authorization_pending"


def test_a_device_code_lives_for_ten_minutes(ann: TestClient, clock: Clock) -> None:
    """Then neither the device nor the user can continue."""
    codes = begun(ann)
    clock.go_on(seconds=600)

    assert polled(ann, codes["device_code"]) == "expired_token"
    assert typed(ann, codes["user_code"]).status_code == 404


def test_a_device_that_was_denied_gets_nothing(ann: TestClient, clock: Clock) -> None:
    """The code cannot be decided again."""
    codes = begun(ann)
    typed(ann, codes["user_code"], "deny")
    clock.go_on(seconds=6)

    assert polled(ann, codes["device_code"]) == "access_denied"
    assert typed(ann, codes["user_code"], "allow").status_code == 404


def test_a_device_code_of_another_client_is_refused(ann: TestClient, accounts: Accounts) -> None:
    """Only the client that started gets tokens."""
    assert polled(ann, begun(ann)["device_code"], add_app(accounts).id) == "unauthorized_client"


@pytest.mark.parametrize("code", ["", "x", "tny_d_" + "A" * 49])
def test_an_unknown_device_code_is_refused(ann: TestClient, code: str) -> None:
    """Guesses get an error."""
    assert polled(ann, code) == "invalid_request"


@pytest.mark.parametrize("scope", [None, "everything"])
def test_a_device_requests_known_scopes(ann: TestClient, scope: str | None) -> None:
    """Devices follow the same rule as browsers."""
    form = {"client_id": COMMAND_LINE} | ({"scope": scope} if scope else {})

    assert ann.post("/oauth/device_authorization", data=form).json()["error"] == "invalid_scope"


def test_a_device_page_needs_sign_in_and_the_form_of_this_browser(app: FastAPI, ann: TestClient) -> None:
    """A foreign page cannot approve a device."""
    codes = begun(ann)
    form = {"user_code": codes["user_code"], "decision": "allow", "form_token": "0" * 64}

    assert ann.post("/oauth/device", data=form).status_code == 400
    with browser(app) as stranger:
        assert stranger.post("/oauth/device", data=form).headers["location"].startswith("/signin")
    assert polled(ann, codes["device_code"]) == "authorization_pending"
