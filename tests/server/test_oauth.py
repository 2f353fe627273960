"""The OAuth flows as they should go: browser, renewal, devices, metadata."""

from __future__ import annotations

import base64

import pytest
import sqlalchemy
from starlette.testclient import TestClient

from tests.server.accounts_app import ADDRESS, Clock
from tests.server.oauth_flow import App, add_app, consent, hidden, opens, query, redeem, renew, sent_back, signed_in
from tunery.service.access import SCOPES, TUNING, TUNING_READONLY
from tunery.service.accounts import oauth as codes_of_devices
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.oauth import COMMAND_LINE, DEVICE


def test_devices_that_wait_are_bounded(web: TestClient, accounts: Accounts, clock: Clock) -> None:
    """Thirty starts of one address in ten minutes; what has expired is deleted with the next start."""
    form = {"client_id": COMMAND_LINE, "scope": TUNING}

    statuses = [web.post("/oauth/device_authorization", data=form).status_code for _ in range(31)]

    assert statuses == [200] * 30 + [429]
    refused = web.post("/oauth/device_authorization", data=form)
    assert (refused.json()["error"], refused.headers["retry-after"]) == ("slow_down", "60")
    clock.go_on(minutes=21)
    assert web.post("/oauth/device_authorization", data=form).status_code == 200
    with accounts._store.database.reading() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM device_codes")) == 1


def test_devices_of_all_addresses_are_bounded(
    web: TestClient, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many wait at once, wherever they are."""
    monkeypatch.setattr(codes_of_devices, "MAX_WAITING_DEVICES", 2)
    client = accounts.clients.get(COMMAND_LINE)
    assert client is not None
    for number in range(2):
        accounts.codes.new_device_code(
            client, TUNING, f"device {number}", f"BCDFGHJ{'BC'[number]}", f"address {number}"
        )

    assert web.post("/oauth/device_authorization", data={"client_id": COMMAND_LINE, "scope": TUNING}).status_code == 429


def test_a_program_gets_tokens_that_open_the_api(ann: TestClient, accounts: Accounts) -> None:
    """After consent and code the caller is the user with exactly the requested scope."""
    tokens = signed_in(ann, add_app(accounts))

    reply = ann.get("/v1beta/whoami", headers={"Authorization": f"Bearer {tokens['access_token']}"})

    assert reply.json() == {"user": "ann@example.com", "scopes": [TUNING], "hasKey": False}
    assert (tokens["token_type"], tokens["scope"], tokens["expires_in"]) == ("Bearer", TUNING, 3600)


def test_the_redirect_carries_state_and_issuer(ann: TestClient, accounts: Accounts) -> None:
    """The browser comes back with the exact state, and with `iss` (RFC 9207)."""
    back = consent(ann, add_app(accounts))

    assert back["state"] == "st&te=1"
    assert back["iss"] == ADDRESS


def test_a_user_who_denies_sends_the_browser_back_with_an_error(ann: TestClient, accounts: Accounts) -> None:
    """Deny leads to `access_denied` with state and issuer, and to no code."""
    back = consent(ann, add_app(accounts), "deny")

    assert (back["error"], back["state"], back["iss"]) == ("access_denied", "st&te=1", ADDRESS)
    assert "code" not in back


def test_a_browser_that_is_not_signed_in_signs_in_first(web: TestClient, accounts: Accounts) -> None:
    """The sign-in page leads back to the consent page."""
    reply = web.get("/oauth/authorize", params=query(add_app(accounts)))

    assert reply.status_code == 303
    page = web.get(reply.headers["location"])
    target = hidden(page.text, "next")
    assert target.startswith("/oauth/authorize?response_type=code")


def test_the_consent_page_names_program_user_and_scopes(ann: TestClient, accounts: Accounts) -> None:
    """The page shows which program wants which access for whom, and where the browser goes next."""
    page = ann.get("/oauth/authorize", params=query(add_app(accounts))).text

    for text in ("A notebook", "ann@example.com", "Tune models", "up to 90 days", "http://127.0.0.1:5555/back"):
        assert text in page


@pytest.mark.parametrize("way", ["basic", "post"])
def test_a_confidential_client_sends_its_secret_in_either_way(ann: TestClient, accounts: Accounts, way: str) -> None:
    """Desktop programs use Basic, google-auth's Credentials use form fields."""
    app = add_app(accounts, is_public=False)
    code = consent(ann, app)["code"]
    if way == "post":
        assert redeem(ann, app, code).status_code == 200
        return
    basic = base64.b64encode(f"{app.id}:{app.secret}".encode()).decode()
    ann.headers["Authorization"] = f"Basic {basic}"
    assert redeem(ann, App(app.id, None), code).status_code == 200


def test_a_public_client_gets_a_new_refresh_token_each_time(ann: TestClient, accounts: Accounts) -> None:
    """The new pair of tokens works and replaces the exchanged refresh token."""
    app = add_app(accounts)
    first = signed_in(ann, app)

    second = renew(ann, app, first["refresh_token"]).json()

    assert second["refresh_token"] != first["refresh_token"]
    assert opens(ann, second["access_token"])


def test_a_confidential_client_keeps_its_refresh_token(ann: TestClient, accounts: Accounts) -> None:
    """google-auth does not store a new one, so the same one works again and again."""
    app = add_app(accounts, is_public=False)
    first = signed_in(ann, app)

    replies = [renew(ann, app, first["refresh_token"]) for _ in range(3)]

    assert all("refresh_token" not in reply.json() and opens(ann, reply.json()["access_token"]) for reply in replies)


def test_a_renewal_may_request_less(ann: TestClient, accounts: Accounts) -> None:
    """The access token has the requested part, the sign-in keeps its full scope."""
    app = add_app(accounts)
    code = consent(ann, app, scope=f"{TUNING} {TUNING_READONLY}")["code"]
    tokens = redeem(ann, app, code).json()

    less = renew(ann, app, tokens["refresh_token"], scope=TUNING_READONLY).json()
    again = renew(ann, app, less["refresh_token"]).json()

    assert less["scope"] == TUNING_READONLY
    assert again["scope"] == f"{TUNING} {TUNING_READONLY}"


def test_a_desktop_client_gets_a_token_for_the_whole_sign_in(ann: TestClient, accounts: Accounts) -> None:
    """What guides store of `InstalledAppFlow` is never renewed."""
    client, secret = accounts.clients.add_desktop("notebook")
    app = App(client.id, secret)
    where = "http://localhost:41234/"

    tokens = redeem(ann, app, consent(ann, app, redirect_uri=where)["code"], redirect_uri=where).json()

    assert tokens["expires_in"] == 90 * 86_400


def test_a_device_is_signed_in_from_another_browser(ann: TestClient, clock: Clock) -> None:
    """The device waits until the user has typed and allowed the code, then gets tokens once."""
    begun = ann.post("/oauth/device_authorization", data={"client_id": COMMAND_LINE, "scope": TUNING}).json()
    form = {"grant_type": DEVICE, "device_code": begun["device_code"], "client_id": COMMAND_LINE}
    assert ann.post("/oauth/token", data=form).json()["error"] == "authorization_pending"

    page = ann.get(begun["verification_uri_complete"].removeprefix(ADDRESS)).text
    token = hidden(page, "form_token")
    typed = begun["user_code"].lower().replace("-", " ")
    asked = ann.post("/oauth/device", data={"form_token": token, "user_code": typed, "decision": "find"}).text
    assert "tunery login" in asked
    assert (
        "Access allowed"
        in ann.post("/oauth/device", data={"form_token": token, "user_code": typed, "decision": "allow"}).text
    )
    clock.go_on(seconds=6)

    tokens = ann.post("/oauth/token", data=form).json()

    assert opens(ann, tokens["access_token"])
    assert "refresh_token" not in tokens
    assert ann.post("/oauth/token", data=form).json()["error"] == "invalid_grant"


def test_a_client_can_revoke_its_token(ann: TestClient, accounts: Accounts) -> None:
    """After a revocation neither the refresh token nor the access token of the sign-in works."""
    app = add_app(accounts)
    tokens = signed_in(ann, app)

    reply = ann.post("/oauth/revoke", data={"token": tokens["refresh_token"], **app.form})

    assert reply.status_code == 200
    assert not opens(ann, tokens["access_token"])
    assert renew(ann, app, tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_client_with_a_secret_can_introspect_its_token(ann: TestClient, accounts: Accounts) -> None:
    """Introspection shows user and scope of the client's own tokens, and nothing about others."""
    app, other = add_app(accounts, is_public=False), add_app(accounts, is_public=False)
    token = signed_in(ann, app)["access_token"]

    own = ann.post("/oauth/introspect", data={"token": token, **app.form}).json()
    foreign = ann.post("/oauth/introspect", data={"token": token, **other.form}).json()

    assert (own["active"], own["sub"], own["scope"]) == (True, "ann@example.com", TUNING)
    assert foreign == {"active": False}


def test_programs_can_read_the_metadata(web: TestClient) -> None:
    """Both well-known documents name this server and the scopes."""
    server = web.get("/.well-known/oauth-authorization-server").json()
    resource = web.get("/.well-known/oauth-protected-resource").json()

    assert server["issuer"] == resource["resource"] == resource["authorization_servers"][0] == ADDRESS
    assert server["code_challenge_methods_supported"] == ["S256"]
    assert server["scopes_supported"] == resource["scopes_supported"] == list(SCOPES)


def test_an_error_for_the_client_carries_the_issuer(ann: TestClient, accounts: Accounts) -> None:
    """A wrong scope sends the browser back with error, state and issuer."""
    reply = ann.get("/oauth/authorize", params=query(add_app(accounts), scope="https://example.com/all"))

    assert reply.status_code == 303
    assert {**sent_back(reply), "error_description": ""} == {
        "error": "invalid_scope",
        "error_description": "",
        "state": "st&te=1",
        "iss": ADDRESS,
    }
