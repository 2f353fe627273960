"""A small application with the routes on accounts only, and a clock that tests can move."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from tunery.server import accounts as accounts_routes
from tunery.server import oauth, sign_in
from tunery.server.http import add_error_handlers
from tunery.server.security import CallerOf, Guards
from tunery.service.accounts.accounts import Accounts
from tunery.service.library import Library

ADDRESS = "http://127.0.0.1:8000"


@dataclass
class Clock:
    """A clock that tests move."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def go_on(self, **span: float) -> None:
        self.now += timedelta(**span)


def make_accounts(library: Library, clock: Clock, **settings: Any) -> Accounts:
    """Return the accounts of a library."""
    return Accounts(library.database, library.folder, address=ADDRESS, clock=clock, stopwatch=clock.seconds, **settings)


def make_app(accounts: Accounts, address: str = ADDRESS) -> FastAPI:
    """Return the application, with a route that returns its caller."""
    app = FastAPI()
    app.state.services = SimpleNamespace(accounts=accounts, address=address)
    for router in (accounts_routes.router, oauth.router, sign_in.router):
        app.include_router(router)

    @app.api_route("/v1beta/whoami", methods=["GET", "POST"])
    def who(caller: CallerOf) -> dict[str, Any]:
        return {"user": caller.user_id, "scopes": sorted(caller.scopes), "hasKey": caller.has_key}

    app.add_middleware(Guards, address=address)
    add_error_handlers(app)
    return app


def browser(app: FastAPI, address: str = ADDRESS) -> TestClient:
    """Return a client that keeps cookies and does not follow redirects."""
    return TestClient(app, base_url=address, follow_redirects=False)
