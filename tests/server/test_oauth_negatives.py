"""What the authorization server refuses: the attacks of RFC 9700, one small request each, none may end in a token."""

from __future__ import annotations

import base64
import threading
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.server.accounts_app import ADDRESS, Clock, browser
from tests.server.oauth_flow import (
    CHALLENGE,
    VERIFIER,
    App,
    add_app,
    asked,
    consent,
    hidden,
    opens,
    query,
    redeem,
    renew,
    sent_back,
    signed_in,
)
from tunery.service.access import TUNING, TUNING_READONLY
from tunery.service.accounts.accounts import Accounts

KINDS = pytest.mark.parametrize("is_public", [True, False], ids=["public", "confidential"])


# --- PKCE -------------------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "plain", "code_challenge": VERIFIER},
        {"code_challenge_method": "s256"},
        {"code_challenge_method": "S512"},
        {"code_challenge": "short"},
        {"code_challenge": CHALLENGE + "="},
        {"code_challenge": CHALLENGE + "A"},
        {"code_challenge": "." * 43},
    ],
    ids=lambda changed: ",".join(f"{name}={str(value)[:9]}" for name, value in changed.items()),
)
def test_no_code_without_a_challenge_of_s256(
    ann: TestClient, accounts: Accounts, is_public: bool, changed: dict[str, str | None]
) -> None:
    """A missing, plain or malformed challenge is refused for every client."""
    reply = asked(ann, add_app(accounts, is_public=is_public), **changed)

    assert reply.status_code == 303
    assert sent_back(reply)["error"] == "invalid_request"
    assert "code" not in sent_back(reply)


@KINDS
@pytest.mark.parametrize("verifier", [None, "w" * 50, "short", CHALLENGE, VERIFIER[:-1], VERIFIER + "!", "v" * 129])
def test_no_token_without_the_verifier(
    ann: TestClient, accounts: Accounts, is_public: bool, verifier: str | None
) -> None:
    """A missing, wrong or malformed verifier is refused (downgrade of PKCE included)."""
    app = add_app(accounts, is_public=is_public)

    reply = redeem(ann, app, consent(ann, app)["code"], code_verifier=verifier)

    assert reply.status_code == 400
    assert reply.json()["error"] in ("invalid_request", "invalid_grant")


# --- codes ------------------------------------------------------------------------------------------------------------


@KINDS
def test_a_code_that_is_used_twice_ends_what_it_gave(ann: TestClient, accounts: Accounts, is_public: bool) -> None:
    """The second use fails and revokes the tokens of the first."""
    app = add_app(accounts, is_public=is_public)
    code = consent(ann, app)["code"]
    first = redeem(ann, app, code).json()

    second = redeem(ann, app, code)

    assert second.json()["error"] == "invalid_grant"
    assert not opens(ann, first["access_token"])
    assert renew(ann, app, first["refresh_token"]).json()["error"] == "invalid_grant"


def test_two_uses_of_a_code_at_once_give_one_sign_in_at_most(app: FastAPI, ann: TestClient, accounts: Accounts) -> None:
    """At most one of eight simultaneous uses gets tokens, and those end, too."""
    program = add_app(accounts)
    code = consent(ann, program)["code"]
    replies: list[Any] = []

    def use() -> None:
        with browser(app) as web:
            replies.append(redeem(web, program, code))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    given = [reply.json() for reply in replies if reply.status_code == 200]
    assert len(given) <= 1
    assert not any(opens(ann, tokens["access_token"]) for tokens in given)


def test_a_code_lives_for_a_minute(ann: TestClient, accounts: Accounts, clock: Clock) -> None:
    """After 60 seconds the code is refused."""
    app = add_app(accounts)
    code = consent(ann, app)["code"]
    clock.go_on(seconds=60)

    assert redeem(ann, app, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("owner_is_public", [True, False])
@pytest.mark.parametrize("thief_is_public", [True, False])
def test_a_code_of_another_client_is_refused(
    ann: TestClient, accounts: Accounts, owner_is_public: bool, thief_is_public: bool
) -> None:
    """A code works only for the client it was made for (code injection), and keeps working for it."""
    owner = add_app(accounts, is_public=owner_is_public)
    thief = add_app(accounts, is_public=thief_is_public)
    code = consent(ann, owner)["code"]

    assert redeem(ann, thief, code).json()["error"] == "invalid_grant"
    assert redeem(ann, owner, code).status_code == 200


@pytest.mark.parametrize(
    "redirect", [None, "http://127.0.0.1:5556/back", "http://127.0.0.1:5555/back/", "http://localhost:5555/back"]
)
def test_a_code_needs_the_redirect_it_was_made_for(ann: TestClient, accounts: Accounts, redirect: str | None) -> None:
    """The token endpoint compares redirects exactly."""
    app = add_app(accounts)

    reply = redeem(ann, app, consent(ann, app)["code"], redirect_uri=redirect)

    assert reply.json()["error"] == "invalid_grant"


@pytest.mark.parametrize("code", ["", "x", "tny_c_" + "A" * 49, "é"])
def test_an_unknown_code_is_refused(ann: TestClient, accounts: Accounts, code: str) -> None:
    """Guesses get an error, not a server error."""
    assert redeem(ann, add_app(accounts), code).status_code == 400


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "redirect",
    [
        None,
        "",
        "http://127.0.0.1@evil.test/back",
        "http://127.0.0.1:5555@evil.test/back",
        "http://user@127.0.0.1:5555/back",
        "http://user:pw@127.0.0.1:5555/back",
        "http://evil.test/back",
        "http://127.0.0.1.evil.test/back",
        "http://127.0.0.1:5555/back/more",
        "http://127.0.0.1:5555/back/../other",
        "http://127.0.0.1:5555/back?x=1",
        "http://127.0.0.1:5555/back#x",
        "http://127.0.0.1:5555/",
        "http://127.0.0.1:5555",
        "http://127.0.0.1:5555/Back",
        "http://127.0.0.1:5555/b%61ck",
        "http://127.0.0.1:0/back",
        "http://127.0.0.1:99999/back",
        "http://127.0.0.1:/back",
        "http://127.0.0.1:80:80/back",
        "http://127.0.0.2:5555/back",
        "http://127.1:5555/back",
        "http://2130706433:5555/back",
        "http://0x7f.1/back",
        "http://0.0.0.0/back",
        "http://[::1]:5555/back",
        "http://localhost:5555/back",
        "https://127.0.0.1:5555/back",
        "HTTP://127.0.0.1:5555/back",
        "http:\\\\127.0.0.1:5555/back",
        "http://127.0.0.1\\@evil.test/back",
        "http://127.0.0.1:5555\\.evil.test/back",
        " http://127.0.0.1:5555/back",
        "http://127.0.0.1:5555/back ",
        "http://127.0.0.1:5555/back\n",
        "http://127.0.0.1:5555/back\r\nSet-Cookie: a=b",
        "//127.0.0.1:5555/back",
        "/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://127.0.0.1:5555/back\u00e9",
        'http://127.0.0.1:5555/"back',
    ],
)
def test_the_browser_is_sent_nowhere_else(ann: TestClient, accounts: Accounts, redirect: str | None) -> None:
    """An unregistered redirect gets a page, never a redirect."""
    reply = asked(ann, add_app(accounts), redirect_uri=redirect)

    assert reply.status_code == 400
    assert "location" not in reply.headers
    assert reply.headers["content-type"].startswith("text/html")


def test_a_registered_https_redirect_is_exact(ann: TestClient, accounts: Accounts) -> None:
    """Only loopback addresses may change their port."""
    app = add_app(accounts, redirect="https://app.example/back")

    assert asked(ann, app, redirect_uri="https://app.example/back").status_code == 200
    for other in ("https://app.example:444/back", "https://app.example/back?", "https://app.example.evil.test/back"):
        assert asked(ann, app, redirect_uri=other).status_code == 400


# --- requests that are wrong in other ways ----------------------------------------------------------------------------


@pytest.mark.parametrize("response_type", [None, "token", "code token", "id_token", "none", 'co"de', "Code"])
def test_only_codes_are_given(ann: TestClient, accounts: Accounts, response_type: str | None) -> None:
    """Other response types, mixed ones included, lead back with an error and no token."""
    reply = asked(ann, add_app(accounts), response_type=response_type)

    assert reply.status_code in (303, 400)
    assert "token=" not in reply.headers.get("location", "")


@pytest.mark.parametrize("client_id", [None, "nobody", "é", "a" * 5000, "' OR 1=1 --"])
def test_an_unknown_client_gets_a_page(ann: TestClient, accounts: Accounts, client_id: str | None) -> None:
    """There is no redirect to the address in the request."""
    reply = asked(ann, add_app(accounts), client_id=client_id)

    assert reply.status_code == 400
    assert "location" not in reply.headers


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "code_challenge", "response_type"])
def test_a_parameter_that_comes_twice_is_refused(ann: TestClient, accounts: Accounts, name: str) -> None:
    """Two readers could read different values."""
    parameters = query(add_app(accounts))
    doubled = f"{urlencode(parameters)}&{urlencode({name: parameters[name]})}"

    assert ann.get(f"/oauth/authorize?{doubled}").status_code == 400


def test_a_form_field_that_comes_twice_is_refused(ann: TestClient, accounts: Accounts) -> None:
    """The token endpoint accepts each parameter once."""
    app = add_app(accounts)
    body = f"grant_type=authorization_code&grant_type=refresh_token&client_id={app.id}&code=x"

    reply = ann.post("/oauth/token", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "scope",
    [
        None,
        "",
        "everything",
        f"{TUNING} everything",
        f"{TUNING}  {TUNING_READONLY}",
        TUNING.upper(),
        "openid email",
        f"{TUNING}\u00e9",
    ],
)
def test_a_scope_that_is_not_wholly_known_is_refused(ann: TestClient, accounts: Accounts, scope: str | None) -> None:
    """The scope is granted exactly as requested, or not at all."""
    reply = asked(ann, add_app(accounts), scope=scope)

    if reply.status_code == 303:
        assert sent_back(reply)["error"] == "invalid_scope"
    else:
        assert reply.status_code == 400


@pytest.mark.parametrize(
    "grant_type",
    [
        None,
        "password",
        "client_credentials",
        "implicit",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "Authorization_Code",
        'x"y',
    ],
)
def test_other_grants_do_not_exist(ann: TestClient, accounts: Accounts, grant_type: str | None) -> None:
    """Only codes, refresh tokens, device codes and key files are exchanged."""
    app = add_app(accounts, is_public=False)
    form = {"username": "ann@example.com", "password": "correct horse battery", "scope": TUNING, **app.form}

    reply = ann.post("/oauth/token", data=form | ({"grant_type": grant_type} if grant_type else {}))

    assert reply.status_code == 400
    assert reply.json()["error"] in ("unsupported_grant_type", "invalid_request")


def test_parameters_in_the_address_of_the_token_endpoint_are_refused(ann: TestClient, accounts: Accounts) -> None:
    """Addresses end up in logs."""
    app = add_app(accounts)
    code = consent(ann, app)["code"]

    assert ann.post(f"/oauth/token?code={code}", data={"grant_type": "authorization_code"}).status_code == 400


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
def test_the_token_endpoint_reads_forms_only(ann: TestClient, kind: str) -> None:
    """Another body type gets an OAuth error."""
    reply = ann.post("/oauth/token", content=b'{"grant_type": "password"}', headers={"Content-Type": kind})

    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, "", "wrong", "tny_x_" + "A" * 49])
@pytest.mark.parametrize("way", ["form", "basic"])
def test_a_confidential_client_needs_its_secret(
    ann: TestClient, accounts: Accounts, way: str, secret: str | None
) -> None:
    """A missing or wrong secret gets no token, however it is sent."""
    app = add_app(accounts, is_public=False)
    code = consent(ann, app)["code"]
    if way == "form":
        reply = redeem(ann, app, code, client_secret=secret)
    else:
        ann.headers["Authorization"] = "Basic " + base64.b64encode(f"{app.id}:{secret or ''}".encode()).decode()
        reply = redeem(ann, App(app.id, None), code)

    assert reply.status_code in (400, 401)
    assert reply.json()["error"] == "invalid_client"


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic /////w==", "Basic w6k6w6k=", "Bearer x", "Digest x"])
def test_a_malformed_authorization_header_is_refused(ann: TestClient, accounts: Accounts, header: str) -> None:
    """Malformed authentication is invalid_client, never a server error."""
    app = add_app(accounts)
    ann.headers["Authorization"] = header

    reply = ann.post("/oauth/token", data={"grant_type": "authorization_code", "code": "x", "client_id": app.id})

    assert reply.status_code in (400, 401)
    assert reply.json()["error"] in ("invalid_client", "invalid_request")


def test_a_secret_sent_in_two_ways_is_refused(ann: TestClient, accounts: Accounts) -> None:
    """A client uses one method (RFC 6749, section 2.3)."""
    app = add_app(accounts, is_public=False)
    code = consent(ann, app)["code"]
    ann.headers["Authorization"] = "Basic " + base64.b64encode(f"{app.id}:{app.secret}".encode()).decode()

    assert redeem(ann, app, code).json()["error"] == "invalid_request"


def test_the_id_of_another_client_with_basic_is_refused(ann: TestClient, accounts: Accounts) -> None:
    """A client cannot act under another client's id."""
    app, other = add_app(accounts, is_public=False), add_app(accounts)
    ann.headers["Authorization"] = "Basic " + base64.b64encode(f"{app.id}:{app.secret}".encode()).decode()

    assert redeem(ann, other, "x").json()["error"] == "invalid_request"


def test_a_revoked_client_can_do_nothing(ann: TestClient, accounts: Accounts) -> None:
    """Its tokens stop working, and it can neither renew them nor start again."""
    app = add_app(accounts, is_public=False)
    tokens = signed_in(ann, app)

    accounts.clients.revoke(app.id)

    assert not opens(ann, tokens["access_token"])
    assert renew(ann, app, tokens["refresh_token"]).json()["error"] == "invalid_client"
    assert asked(ann, app).status_code == 400


def test_a_client_without_the_grant_cannot_use_it(ann: TestClient, accounts: Accounts) -> None:
    """The client of a login can renew, but neither open a browser nor start a device."""
    login = accounts.create_login("ann@example.com", [TUNING])
    app = App(login.client_id, login.client_secret)

    assert asked(ann, app).status_code == 400
    reply = ann.post("/oauth/device_authorization", data={"scope": TUNING, **app.form})
    assert reply.json()["error"] == "unauthorized_client"


# --- consent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_consent_needs_the_form_of_this_browser(ann: TestClient, accounts: Accounts, token: str | None) -> None:
    """A foreign page that sends the form does not know its token."""
    form = {"request": urlencode(query(add_app(accounts))), "decision": "allow"}

    reply = ann.post("/oauth/authorize", data=form | ({} if token is None else {"form_token": token}))

    assert reply.status_code == 400
    assert "location" not in reply.headers


def test_consent_needs_a_session(web: TestClient, accounts: Accounts) -> None:
    """A form without a session gives no code."""
    form = {"request": urlencode(query(add_app(accounts))), "decision": "allow", "form_token": "0" * 64}

    assert web.post("/oauth/authorize", data=form).status_code == 401


def test_anything_but_allow_is_a_denial(ann: TestClient, accounts: Accounts) -> None:
    """A missing or unknown decision gives no code."""
    for decision in ("", "yes", "Allow"):
        assert consent(ann, add_app(accounts), decision)["error"] == "access_denied"


def test_the_request_behind_the_form_is_checked_again(ann: TestClient, accounts: Accounts) -> None:
    """A changed hidden field cannot lead the browser elsewhere."""
    app = add_app(accounts)
    page = asked(ann, app).text
    form = {"form_token": hidden(page, "form_token"), "decision": "allow"}

    reply = ann.post(
        "/oauth/authorize", data=form | {"request": urlencode(query(app, redirect_uri="http://evil.test/"))}
    )

    assert reply.status_code == 400
    assert "location" not in reply.headers


def test_pages_escape_foreign_text(ann: TestClient, accounts: Accounts) -> None:
    """A client's name or a state cannot become markup."""
    client, _ = accounts.clients.add("<script>alert(1)</script>", ["http://127.0.0.1/back"], is_public=True)

    page = asked(ann, App(client.id, None), state='"><script>alert(2)</script>')

    assert "<script" not in page.text
    assert "form-action 'self' http://127.0.0.1:5555" in page.headers["content-security-policy"]


# --- transport --------------------------------------------------------------------------------------------------------


def test_plain_http_off_this_machine_is_refused(accounts: Accounts) -> None:
    """Redirects are https, or http on a loopback name."""
    from tests.server.accounts_app import make_app

    with browser(make_app(accounts, "http://tunery.example"), "http://tunery.example") as web:
        reply = web.post("/oauth/token", data={"grant_type": "authorization_code"})

    assert reply.json()["error"] == "insecure_transport"


def test_the_issuer_is_the_public_address_whatever_the_host_header_says(ann: TestClient, accounts: Accounts) -> None:
    """Clients compare `iss` with the server they started at (mix-up)."""
    reply = ann.get("/oauth/authorize", params=query(add_app(accounts), scope="x"), headers={"Host": "localhost:1"})

    assert sent_back(reply)["iss"] == ADDRESS
