"""
What every request passes before it reaches a handler, and every reply on its way out.

Host: names that are ours only, else a foreign page whose name was bound anew to this address could talk to us. Origin:
no foreign page may change anything. Replies: headers that tell browsers what not to do. Logs: no keys. Knows ASGI only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery.errors import InvalidArgument, PermissionDenied, TuneryError, Unauthenticated
from tunery.server.http import reply_of, services_of
from tunery.service.access import CLOUD_PLATFORM
from tunery.service.accounts.users import SESSION_DAYS
from tunery.types import Caller

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")

# Set unless a reply has its own: the Studio's pages bring a policy that lets them work.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_ONE_YEAR = 31_536_000

_SECRETS = re.compile(
    r"(?i)([?&;](?:key|token|access_token|refresh_token|code|client_secret|device_code|user_code)=)[^&\s\"']+"
)
_OUR_SECRETS = re.compile(r"tny_([a-z])_[0-9A-Za-z]+")


class Guards:
    """
    The ASGI middleware; `address` is the public address of the server, `hosts` are further names that it has.

    app.add_middleware(Guards, address=services.address)
    """

    def __init__(self, app: ASGIApp, *, address: str, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._address = urlsplit(address)
        own_name = _HOST.match(self._address.netloc.lower())
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in hosts} | ({own_name[1]} if own_name else set())
        self._is_https = self._address.scheme == "https"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message))
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
        except TuneryError as error:
            await reply_of(error)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, method: str, headers: Headers) -> None:
        hosts = headers.getlist("host")
        host = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if host is None:
            raise InvalidArgument("A request needs one Host header that can be read.")
        if host[1] not in self._hosts:
            raise PermissionDenied(f"This server is not called {host[1]}. Its operator can add names that it has.")
        origin = headers.get("origin")
        if method in _UNSAFE_METHODS and origin is not None and origin.lower() not in self._origins(hosts[0]):
            raise PermissionDenied("Pages of other servers may not change anything here.")

    def _origins(self, host: str) -> Sequence[str]:
        """Return the origins of our own pages: the public one, and the one that this request was sent to."""
        return f"{self._address.scheme}://{self._address.netloc}".lower(), f"{self._address.scheme}://{host}".lower()

    def _add_headers(self, headers: MutableHeaders) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if self._is_https:
            headers.setdefault("Strict-Transport-Security", f"max-age={_ONE_YEAR}")


class Scrub(logging.Filter):
    """Takes keys, tokens and codes out of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record; always keep it."""
        record.msg = scrubbed(record.msg) if isinstance(record.msg, str) else record.msg
        if isinstance(record.args, tuple):
            record.args = tuple(_scrubbed_value(value) for value in record.args)
        elif isinstance(record.args, dict):
            record.args = {name: _scrubbed_value(value) for name, value in record.args.items()}
        return True


def scrub_logs(
    names: Iterable[str] = ("tunery", "tunery.server", "uvicorn", "uvicorn.access", "uvicorn.error"),
) -> None:
    """Let nothing secret into these logs, nor into what their handlers write for others."""
    for name in names:
        logger = logging.getLogger(name)
        for place in (logger, *logger.handlers):
            if not any(isinstance(known, Scrub) for known in place.filters):
                place.addFilter(Scrub())


def scrubbed(text: str) -> str:
    """Return a text without keys and tokens."""
    return _OUR_SECRETS.sub(r"tny_\1_...", _SECRETS.sub(r"\1...", text))


def _scrubbed_value(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    return scrubbed(str(value)) if isinstance(value, BaseException) else value


def caller_of(request: Request) -> Caller:
    """Return who calls; raises Unauthenticated for a bad token or cookie, InvalidArgument for a bad key."""
    accounts = services_of(request).accounts
    token = bearer_token(request)
    if token is not None:
        return accounts.caller_of_token(token)
    key = request.headers.get("x-goog-api-key") or request.query_params.get("key")
    if key:
        return accounts.caller_of_key(key)
    secret = session_secret(request)
    if secret:
        require_own_page(request)
        return accounts.caller_of_session(secret)
    return Caller()


def administrator(request: Request) -> Caller:
    """Return an administrator with a token for everything; raises PermissionDenied for all others."""
    caller = caller_of(request)
    if caller.user_id is None:
        raise Unauthenticated("Only an administrator with a token may do this.")
    if not caller.is_admin:
        raise PermissionDenied("Only an administrator may do this.")
    if CLOUD_PLATFORM not in caller.scopes:
        raise PermissionDenied(
            "Request had insufficient authentication scopes.", reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT"
        )
    return caller


def bearer_token(request: Request) -> str | None:
    """Return the bearer token of a request, None if it brings none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


CallerOf = Annotated[Caller, Depends(caller_of)]
Administrator = Annotated[Caller, Depends(administrator)]


SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie_name(address: str) -> str:
    """Return the name of the cookie of the server at an address; browsers mix up the ports of one host."""
    parts = urlsplit(address)
    return "__Host-tunery_session" if parts.scheme == "https" else f"tunery_session_{parts.port or 80}"


def session_secret(request: Request) -> str | None:
    """Return what the cookie of a request holds."""
    return request.cookies.get(cookie_name(services_of(request).address))


def set_cookie(reply: Response, request: Request, secret: str) -> None:
    """Let a reply give the browser its cookie."""
    address = services_of(request).address
    reply.set_cookie(
        cookie_name(address),
        secret,
        max_age=SESSION_DAYS * 86_400,
        path="/",
        secure=address.startswith("https:"),
        httponly=True,
        samesite="lax",
    )


def clear_cookie(reply: Response, request: Request) -> None:
    """Let a reply take the cookie back."""
    address = services_of(request).address
    is_secure = address.startswith("https:")
    reply.delete_cookie(cookie_name(address), path="/", secure=is_secure, httponly=True, samesite="lax")


def require_own_page(request: Request) -> None:
    """
    Raise PermissionDenied if a call that changes something comes with a cookie, but not from a page of ours.

    A browser sends the cookie along with whatever a foreign page asks it to; it always says which page that was.
    """
    if request.method in SAFE_METHODS or request.headers.get("sec-fetch-site") == "same-origin":
        return
    if request.headers.get("origin") not in own_origins(request):
        raise PermissionDenied("This call came with a cookie, but not from a page of this server.")


def own_origins(request: Request) -> frozenset[str]:
    """Return the origins of our own pages: the public address, and the one that this request was sent to."""
    address = urlsplit(services_of(request).address)
    host = request.headers.get("host", "")
    return frozenset({f"{address.scheme}://{address.netloc}", f"{address.scheme}://{host}"})
