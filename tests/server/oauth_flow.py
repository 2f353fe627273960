"""The steps of the browser flow by hand, each open to what an attacker would send instead."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.testclient import TestClient

from tunery.service.access import TUNING
from tunery.service.accounts.accounts import Accounts

VERIFIER = "v" * 43 + "0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT = "http://127.0.0.1/back"


@dataclass(frozen=True)
class App:
    """A client as its program knows it."""

    id: str
    secret: str | None

    @property
    def form(self) -> dict[str, str]:
        return {"client_id": self.id} | ({"client_secret": self.secret} if self.secret else {})


def add_app(accounts: Accounts, *, is_public: bool = True, redirect: str = REDIRECT) -> App:
    """Register a client."""
    client, secret = accounts.clients.add("A notebook", [redirect], is_public=is_public)
    return App(client.id, secret)


def query(app: App, **changed: str | None) -> dict[str, str]:
    """Return the parameters of a valid authorization request; None leaves one out."""
    parameters: dict[str, str | None] = {
        "response_type": "code",
        "client_id": app.id,
        "redirect_uri": "http://127.0.0.1:5555/back",
        "scope": TUNING,
        "state": "st&te=1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in (parameters | changed).items() if value is not None}


def asked(web: TestClient, app: App, **changed: str | None) -> Any:
    """Return the reply to an authorization request."""
    return web.get(f"/oauth/authorize?{urlencode(query(app, **changed))}")


def hidden(page: str, name: str) -> str:
    """Return the value of a hidden field of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, page
    return html.unescape(found[1])


def consent(web: TestClient, app: App, decision: str = "allow", **changed: str | None) -> dict[str, str]:
    """Go through the consent page and return the parameters with which the browser is sent back."""
    page = web.get(f"/oauth/authorize?{urlencode(query(app, **changed))}")
    assert page.status_code == 200, page.text
    fields = {name: hidden(page.text, name) for name in ("request", "form_token")}
    reply = web.post("/oauth/authorize", data=fields | {"decision": decision})
    assert reply.status_code == 303, reply.text
    return sent_back(reply)


def sent_back(reply: Any) -> dict[str, str]:
    """Return the parameters of a redirect to the client."""
    return {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["location"]).query).items()}


def redeem(web: TestClient, app: App, code: str, **changed: str | None) -> Any:
    """Return the reply of the token endpoint to a code."""
    form: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "http://127.0.0.1:5555/back",
        "code_verifier": VERIFIER,
        **app.form,
    }
    return web.post("/oauth/token", data={name: value for name, value in (form | changed).items() if value is not None})


def renew(web: TestClient, app: App, refresh_token: str, **changed: str) -> Any:
    """Return the reply of the token endpoint to a refresh token."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **app.form, **changed}
    return web.post("/oauth/token", data=form)


def signed_in(web: TestClient, app: App) -> dict[str, Any]:
    """Sign in through the browser and return the reply of the token endpoint."""
    reply = redeem(web, app, consent(web, app)["code"])
    assert reply.status_code == 200, reply.text
    tokens: dict[str, Any] = reply.json()
    return tokens


def opens(web: TestClient, token: str) -> bool:
    """Return whether a token opens the API."""
    reply = web.get("/v1beta/whoami", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code in (200, 401)
    return bool(reply.status_code == 200)
