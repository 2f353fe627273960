"""
The endpoints of the authorization server.

Handlers read a form or a query, let Authlib or a page answer, and know nothing else. Plain functions, so that Authlib
and the database work in the thread pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tunery.errors import InvalidArgument, NotFound, ResourceExhausted
from tunery.server.errors import HTTP_STATUS
from tunery.server.forms import Parameters, form_of, parameters_of
from tunery.server.oauth import consent, metadata
from tunery.server.oauth.grants import CodeGrant
from tunery.server.oauth.requests import WebRequest
from tunery.server.oauth.server import DEVICE_PATH, OAuthServer
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.session import form_token_of, require_form_token, session_of, sign_in_first

router = APIRouter(tags=["sign-in"], include_in_schema=False)


async def _oauth_form(request: Request) -> Parameters | OAuth2Error:
    """Read a form; what is wrong with it is an answer of OAuth's own."""
    try:
        return await form_of(request)
    except InvalidArgument as error:
        return InvalidRequestError(_ascii(error))


_Answer = Callable[[OAuthServer, WebRequest], Response]
OAuthForm = Annotated[Parameters | OAuth2Error, Depends(_oauth_form)]
Form = Annotated[Parameters, Depends(form_of)]


@router.get("/.well-known/oauth-authorization-server")
def describe_authorization_server(request: Request) -> Response:
    """Describe the authorization server (RFC 8414)."""
    return JsonReply(metadata.authorization_server(services_of(request).address))


@router.get("/.well-known/oauth-protected-resource")
def describe_protected_resource(request: Request) -> Response:
    """Describe the API (RFC 9728)."""
    return JsonReply(metadata.protected_resource(services_of(request).address))


@router.get("/oauth/authorize")
def authorize(request: Request) -> Response:
    """Ask the user, signed in first if need be, whether a program may act for him."""
    server = _server(request)
    asked = _asked(server, request, request.url.query)
    if isinstance(asked, Response):
        return asked
    session = session_of(request)
    if session is None:
        return sign_in_first(request)
    oauth_request, grant = asked
    return consent.consent_page(
        oauth_request.client.client,
        session.user_id,
        oauth_request.scope,
        grant.redirect_uri,
        request.url.query,
        form_token_of(request),
    )


@router.post("/oauth/authorize")
def decide(request: Request, fields: Form) -> Response:
    """Send the browser back to the program with a code, or with the user's no."""
    server, session = _server(request), session_of(request)
    if session is None:
        return consent.end_page("You are signed out", "Go back to the program and begin anew.", 401)
    require_form_token(request, fields)
    asked = _asked(server, request, fields.get("request", ""))
    if isinstance(asked, Response):
        return asked
    oauth_request, grant = asked
    user = session.user_id if fields.get("decision") == "allow" else None
    reply: Response = server.create_authorization_response(oauth_request, grant_user=user, grant=grant)
    return reply


@router.post("/oauth/token")
def give_token(request: Request, form: OAuthForm) -> Response:
    """Give tokens for a code, a refresh token or a device code."""
    return _answer(request, form, lambda server, asked: server.create_token_response(asked))


@router.post("/oauth/device_authorization")
def begin_device(request: Request, form: OAuthForm) -> Response:
    """Give a device a code to wait with, and one for its user to type."""
    return _answer(request, form, lambda server, asked: server.create_endpoint_response("device_authorization", asked))


@router.post("/oauth/revoke")
def revoke(request: Request, form: OAuthForm) -> Response:
    """Take a token back."""
    return _answer(request, form, lambda server, asked: server.create_endpoint_response("revocation", asked))


@router.post("/oauth/introspect")
def introspect(request: Request, form: OAuthForm) -> Response:
    """Tell a client about a token of its own."""
    return _answer(request, form, lambda server, asked: server.create_endpoint_response("introspection", asked))


@router.get(DEVICE_PATH)
def show_device(request: Request, user_code: str = "") -> Response:
    """Show where the code of a device is typed."""
    if session_of(request) is None:
        return sign_in_first(request)
    return consent.code_page(DEVICE_PATH, form_token_of(request), user_code)


@router.post(DEVICE_PATH)
def decide_device(request: Request, fields: Form) -> Response:
    """Find the device that waits for a code, and let the user decide about it."""
    session, accounts = session_of(request), services_of(request).accounts
    if session is None:
        return sign_in_first(request)
    require_form_token(request, fields)
    typed, token = fields.get("user_code", ""), form_token_of(request)
    try:
        code = accounts.codes.waiting_device(typed, session.user_id)
    except (NotFound, ResourceExhausted) as error:
        return consent.code_page(DEVICE_PATH, token, "", str(error), HTTP_STATUS[error.status])
    decision = fields.get("decision")
    if decision not in ("allow", "deny"):
        client = accounts.clients.get(code.client_id)
        if client is None:
            return consent.end_page("Too late", "The program that asked is not known any more.", 404)
        return consent.device_page(DEVICE_PATH, client, session.user_id, code.scope, typed, token)
    accounts.codes.decide(code, session.user_id, is_approved=decision == "allow")
    return consent.end_page("Done" if decision == "allow" else "Denied", "You can close this page.")


def _server(request: Request) -> OAuthServer:
    services = services_of(request)
    return OAuthServer(services.accounts, services.address)


def _asked(server: OAuthServer, request: Request, query: str) -> tuple[WebRequest, CodeGrant] | Response:
    """Return an authorization request and its grant, or the reply to one that is wrong."""
    oauth_request = None
    try:
        oauth_request = WebRequest(request, parameters_of(query), server.address)
        return oauth_request, server.get_consent_grant(oauth_request)
    except InvalidArgument as error:
        return consent.end_page("This request cannot be used", str(error), 400)
    except OAuth2Error as error:
        if error.redirect_uri:  # only set once we know that it is the client's
            return server.error_response(oauth_request, error)
        return consent.end_page("This request cannot be used", error.description or error.error, 400)


def _answer(request: Request, form: Parameters | OAuth2Error, answer: _Answer) -> Response:
    server = _server(request)
    try:
        if isinstance(form, OAuth2Error):
            raise form
        if request.url.query:
            raise InvalidRequestError("Parameters belong into the body: addresses end up in logs.")
        return answer(server, WebRequest(request, form, server.address))
    except OAuth2Error as error:
        return server.error_response(None, error)


def _ascii(error: Exception) -> str:
    """Return the text of an error in the characters that OAuth lets an error have."""
    return str(error).replace('"', "'").replace("\\", "/").encode("ascii", "replace").decode()
