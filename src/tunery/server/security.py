"""
Checks for every request before its handler, and headers for every reply.

The Host header has to be one of our names; otherwise a foreign page could make its own name resolve to this address.
Pages of other origins may not change anything. Logs contain no keys or tokens.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, params
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery.errors import InvalidArgument, PermissionDenied, TuneryError, Unauthenticated
from tunery.server.http import note_caller, on_unexpected, reply_of, services_of
from tunery.server.shares import Allowance, Places
from tunery.service.access import Action, require_administrator, require_known, require_scope
from tunery.service.accounts.credentials import SESSION_DAYS
from tunery.service.database import audit
from tunery.types import Caller

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
REQUESTS = Allowance(12_000)  # half of what two cores can answer
POLLS = frozenset({"GetOperation", "ListOperations"})  # Google's old client polls in a bare loop
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")

# Set unless a reply has its own headers, as the Studio's pages do.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_ONE_YEAR = 31_536_000

_SECRETS = re.compile(
    r"(?i)([?&;](?:key|token|access_token|refresh_token|code|client_secret|device_code|user_code)=)[^&\s\"']+"
)
_OUR_SECRETS = re.compile(r"tny_([a-z])_[0-9A-Za-z]+")


class Guards:
    """
    The ASGI middleware; `address` is the public address of the server, `hosts` are its further names.

    app.add_middleware(Guards, address=services.address)
    """

    def __init__(self, app: ASGIApp, *, address: str, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._address = address
        own_name = _HOST.match(urlsplit(address).netloc.lower())
        # Kubernetes and Prometheus ask each server by its address. A page cannot learn anything from these paths: the
        # first two are open, and metrics need a token, unless the server is only for this machine.
        is_public = not is_loopback(urlsplit(address).hostname or "")
        self._nameless = frozenset({"/healthz", "/readyz", "/metrics"} if is_public else ())
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in hosts} | ({own_name[1]} if own_name else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        audit.begin_request()
        has_begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self._add_headers(MutableHeaders(scope=message))
            await send(message)

        try:
            self._check(scope["method"], scope["path"], Headers(scope=scope))
        except TuneryError as error:
            await reply_of(error)(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:
            if not has_begun:  # the framework's own reply would not come through here, and would lack the headers
                reply = await on_unexpected(Request(scope), error)
                await reply(scope, receive, send_guarded)
            raise

    def _check(self, method: str, path: str, headers: Headers) -> None:
        hosts = headers.getlist("host")
        host = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if host is None:
            raise InvalidArgument("A request needs exactly one valid Host header.")
        if host[1] not in self._hosts and path not in self._nameless:
            raise PermissionDenied(f"This server is not called {host[1]}. Its operator can add further names.")
        origin = headers.get("origin")
        if method not in SAFE_METHODS and origin is not None and not is_own_origin(origin, self._address, hosts[0]):
            raise PermissionDenied("Pages from other servers may not change anything here.")

    def _add_headers(self, headers: MutableHeaders) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if self._address.startswith("https:"):
            headers.setdefault("Strict-Transport-Security", f"max-age={_ONE_YEAR}")


class Scrub(logging.Filter):
    """Removes keys, tokens and codes from log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record and keep it."""
        record.msg = scrubbed(record.msg) if isinstance(record.msg, str) else record.msg
        if isinstance(record.args, tuple):
            record.args = tuple(_scrubbed_value(value) for value in record.args)
        elif isinstance(record.args, dict):
            record.args = {name: _scrubbed_value(value) for name, value in record.args.items()}
        return True


def scrub_logs(
    names: Iterable[str] = ("tunery", "tunery.server", "uvicorn", "uvicorn.access", "uvicorn.error"),
) -> None:
    """Keep secrets out of these logs and out of what their handlers write for other loggers."""
    for name in names:
        logger = logging.getLogger(name)
        for place in (logger, *logger.handlers):
            if not any(isinstance(known, Scrub) for known in place.filters):
                place.addFilter(Scrub())


def scrubbed(text: str) -> str:
    """Return a text without its keys, tokens and codes."""
    return _OUR_SECRETS.sub(r"tny_\1_...", _SECRETS.sub(r"\1...", text))


def _scrubbed_value(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    return scrubbed(str(value)) if isinstance(value, BaseException) else value


def caller_of(request: Request) -> Caller:
    """Return the caller; raises Unauthenticated for a bad token or cookie, InvalidArgument for a bad key."""
    caller = note_caller(request, _identified(request))
    if getattr(request.scope.get("route"), "name", "") not in POLLS:
        is_known = caller.user_id is not None or caller.has_key
        REQUESTS.count(caller.name if is_known else f"address {address_of(request)}")
    return caller


def _identified(request: Request) -> Caller:
    accounts = services_of(request).accounts
    token = bearer_token(request)
    if token is not None:
        return accounts.caller_of_token(token)
    key, key_in_url = request.headers.get("x-goog-api-key"), request.query_params.get("key")
    if key_in_url and not key and not accounts.keys_in_urls:
        raise InvalidArgument("This server takes API keys only in the header x-goog-api-key, not as ?key= in the URL.")
    key = key or key_in_url
    if key:
        return accounts.caller_of_key(key)
    secret = _session_used(request)
    if secret:
        require_own_page(request)
        return accounts.caller_of_session(secret)
    return Caller()


def _session_used(request: Request) -> str | None:
    """Return the cookie of a request that has no other credentials."""
    has_others = bearer_token(request) or request.headers.get("x-goog-api-key") or request.query_params.get("key")
    return None if has_others else session_secret(request)


CallerOf = Annotated[Caller, Depends(caller_of)]


def bearer_or_key(request: Request) -> Caller:
    """
    Return the caller of an API whose clients send every credential as a bearer: a token or an API key.

    Raises Unauthenticated if it is neither.
    """
    try:
        caller = caller_of(request)
    except Unauthenticated:
        bearer = request.headers.get("authorization", "").partition(" ")[2].strip()
        try:
            caller = services_of(request).accounts.caller_of_key(bearer)
        except InvalidArgument:
            raise Unauthenticated("Incorrect API key provided: it is neither a token nor an API key.") from None
    return note_caller(request, caller)


BearerOrKey = Annotated[Caller, Depends(bearer_or_key)]


def needs(action: Action) -> params.Depends:
    """Return the dependency that refuses callers without the scope for an action, before their body is read."""

    def check(caller: CallerOf) -> None:
        require_scope(caller, action)

    return params.Depends(check)


def holds(places: Places) -> params.Depends:
    """
    Return the dependency that holds one of these places from before the body is read until the reply has been sent.
    """

    async def hold(caller: CallerOf) -> AsyncIterator[None]:
        require_known(caller)
        async with places.place(caller.name):
            yield

    return params.Depends(hold)


def administrator(request: Request) -> Caller:
    """
    Return the caller, who must be an administrator with a token of unlimited scope, or one who has just signed in.

    A browser that stays signed in for weeks can tune, but cannot give others access.
    """
    caller, secret = caller_of(request), _session_used(request)
    if not (caller.is_admin and secret):
        require_administrator(caller)
    elif not services_of(request).accounts.has_just_signed_in(secret):
        raise PermissionDenied(
            "Sign in again to manage users and keys: this browser signed in more than an hour ago.",
            reason="RECENT_SIGN_IN_REQUIRED",
        )
    return caller


Administrator = Annotated[Caller, Depends(administrator)]


def address_of(request: Request) -> str:
    """Return the address that a request comes from, by which the use of unknown callers is counted."""
    return "an unknown address" if request.client is None else request.client.host


def bearer_token(request: Request) -> str | None:
    """Return the bearer token of a request, None if it has none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def cookie_name(address: str) -> str:
    """Return the name of the session cookie; browsers share cookies between the ports of one host."""
    parts = urlsplit(address)
    return "__Host-tunery_session" if parts.scheme == "https" else f"tunery_session_{parts.port or 80}"


def session_secret(request: Request) -> str | None:
    """Return the content of the session cookie."""
    return request.cookies.get(cookie_name(services_of(request).address))


def set_cookie(reply: Response, request: Request, secret: str) -> None:
    """Add the session cookie to a reply."""
    reply.set_cookie(value=secret, max_age=SESSION_DAYS * 86_400, **_cookie(request))


def clear_cookie(reply: Response, request: Request) -> None:
    """Make a reply delete the session cookie."""
    reply.delete_cookie(**_cookie(request))


def _cookie(request: Request) -> dict[str, Any]:
    address = services_of(request).address
    is_secure = address.startswith("https:")
    return {"key": cookie_name(address), "path": "/", "secure": is_secure, "httponly": True, "samesite": "lax"}


def require_own_page(request: Request) -> None:
    """
    Raise PermissionDenied for a call with a cookie that changes something but does not come from one of our pages.

    A browser sends the cookie with every call that a foreign page makes, but it also always names the origin of the
    page.
    """
    if request.method in SAFE_METHODS or request.headers.get("sec-fetch-site") == "same-origin":
        return
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    if not is_own_origin(origin, services_of(request).address, host):
        raise PermissionDenied("This call came with a cookie, but not from a page of this server.")


def is_own_origin(origin: str, address: str, host: str) -> bool:
    """
    Return whether an origin is that of our own pages, which is the public address or the host the request was sent to.
    """
    parts = urlsplit(address)
    return origin.lower() in (f"{parts.scheme}://{parts.netloc}".lower(), f"{parts.scheme}://{host}".lower())


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
