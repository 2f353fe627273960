"""
The cookie of a browser that is signed in: its name, how it is set, and what it is worth.

HttpOnly and SameSite=Lax always; under TLS also Secure, with a name that only this host can set. Knows HTTP; what the
secret in it stands for, the accounts say.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from tunery.errors import PermissionDenied
from tunery.server.services import services_of
from tunery.service.accounts.users import SESSION_DAYS

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
