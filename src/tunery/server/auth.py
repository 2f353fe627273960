"""
Who calls: from the headers, the query or the cookie of a request to a `Caller`. What callers may do is in
`service/access.py`.

A token decides alone, an API key beside it is not looked at: newer clients cannot be built without a key, so their
users send both. Header names and the scheme are taken in any case. The cookie is for our own pages, which hold no
token.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tunery.errors import PermissionDenied, Unauthenticated
from tunery.server.cookies import require_own_page, session_secret
from tunery.server.services import services_of
from tunery.service.access import CLOUD_PLATFORM
from tunery.types import Caller


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
