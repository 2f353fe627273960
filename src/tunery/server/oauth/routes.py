"""
The endpoints of the authorization server.

Handlers read a form or a query, let Authlib or a page answer, and know nothing else. Plain functions, so that Authlib
and the database work in the thread pool.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import InvalidRequestError, InvalidScopeError, OAuth2Error, UnauthorizedClientError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tunery.errors import InvalidArgument, NotFound, ResourceExhausted
from tunery.server import sign_in
from tunery.server.http import HTTP_STATUS, JsonReply, Parameters, form_of, parameters_of, services_of
from tunery.server.oauth.grants import (
    AUTH_METHODS,
    CodeGrant,
    DeviceGrant,
    KeyFileGrant,
    OAuthClient,
    RenewalGrant,
    S256Challenge,
    StoredToken,
    WebRequest,
)
from tunery.server.sign_in import form_token_of, require_form_token, session_of, sign_in_first
from tunery.service.access import SCOPES
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.oauth import (
    CODE,
    DEVICE,
    DEVICE_CODE_SECONDS,
    KEY_FILE,
    POLL_SECONDS,
    REFRESH,
    new_user_code,
)
from tunery.service.accounts.secrets import Prefix, new_secret

DEVICE_PATH = "/oauth/device"

logging.getLogger("authlib").setLevel(logging.WARNING)  # at its debug level it writes tokens into the log


class OAuthServer(AuthorizationServer):
    """The authorization server at an address; cheap, made for a request."""

    def __init__(self, accounts: Accounts, address: str) -> None:
        super().__init__(scopes_supported=SCOPES)
        self.accounts, self.address = accounts, address
        self.register_grant(CodeGrant, [S256Challenge(required=True)])
        self.register_grant(RenewalGrant)
        self.register_grant(DeviceGrant)
        self.register_grant(KeyFileGrant)
        for endpoint in (DeviceStart, Revocation, Introspection):
            self.register_endpoint(endpoint(self))

    def query_client(self, client_id: str) -> OAuthClient | None:
        """Return a client."""
        client = self.accounts.clients.get(client_id)
        return None if client is None else OAuthClient(client)

    def validate_requested_scope(self, scope: str | None) -> None:
        """Refuse a scope that is not wholly known: what is granted is exactly what was asked for."""
        if not scope or not set(scope.split(" ")) <= set(SCOPES):
            raise InvalidScopeError

    def create_oauth2_request(self, request: WebRequest) -> WebRequest:
        """Return the request: it has the right form already."""
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        """Return what Authlib answers as a response; a redirect says who we are (RFC 9207)."""
        if status == 302:
            location = add_params_to_uri(dict(headers)["Location"], [("iss", self.address)])
            # 303: a browser must not send the password of a form on to the client (RFC 9700, section 4.12)
            return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})
        return JsonReply(body, status, {"Cache-Control": "no-store", "Pragma": "no-cache"} | _without_type(headers))

    def error_response(self, request: WebRequest | None, error: OAuth2Error) -> Response:
        """Return the response for an error; `request` is missing if it could not even be read."""
        reply: Response = self.handle_error_response(request, error)
        return reply

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Do nothing: nobody listens."""


class DeviceStart(DeviceAuthorizationEndpoint):
    """Where a device without a browser begins (RFC 8628)."""

    CLIENT_AUTH_METHODS = AUTH_METHODS
    EXPIRES_IN = DEVICE_CODE_SECONDS
    INTERVAL = POLL_SECONDS

    def authenticate_client(self, request: WebRequest) -> OAuthClient:
        """Return the client; refuse one that may not use devices."""
        client: OAuthClient = super().authenticate_client(request)
        if not client.check_grant_type(DEVICE):
            raise UnauthorizedClientError
        return client

    def generate_device_code(self) -> str:
        """Return a new device code."""
        return new_secret(Prefix.DEVICE)

    def generate_user_code(self) -> str:
        """Return a new code to be typed."""
        return new_user_code()

    def get_verification_uri(self) -> str:
        """Return where it is typed."""
        return f"{self.server.address}{DEVICE_PATH}"

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, str]) -> None:
        """Write both codes down."""
        accounts: Accounts = self.server.accounts
        client = accounts.clients.get(client_id)
        assert client is not None
        accounts.codes.new_device_code(client, scope, data["device_code"], data["user_code"])


class Revocation(RevocationEndpoint):
    """Where a client gives a token back (RFC 7009)."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string: str, _token_type_hint: str | None) -> StoredToken | None:
        """Return a token if it is good."""
        found = self.server.accounts.tokens.find(token_string)
        return None if found is None else StoredToken(found)

    def revoke_token(self, token: StoredToken, _request: WebRequest) -> None:
        """Revoke a token."""
        self.server.accounts.tokens.revoke(token.token)


class Introspection(IntrospectionEndpoint):
    """Where a client with a secret asks about a token of its own (RFC 7662)."""

    CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def query_token(self, token_string: str, _token_type_hint: str | None) -> StoredToken | None:
        """Return a token if it is good."""
        found = self.server.accounts.tokens.find(token_string)
        return None if found is None else StoredToken(found)

    def check_permission(self, token: StoredToken, client: OAuthClient, _request: WebRequest) -> bool:
        """Say whether the token was given to who asks."""
        return token.check_client(client)

    def introspect_token(self, token: StoredToken) -> dict[str, Any]:
        """Return what the client may know."""
        found = token.token
        return {
            "active": True,
            "client_id": found.client_id,
            "scope": found.scope,
            "sub": found.user_id,
            "username": found.user_id,
            "token_type": "Bearer",
            "iat": int(found.create_time.timestamp()),
            "exp": int(found.expire_time.timestamp()),
            "iss": self.server.address,
        }


def _without_type(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in ("content-type", "cache-control", "pragma")}


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
    return JsonReply(authorization_server(services_of(request).address))


@router.get("/.well-known/oauth-protected-resource")
def describe_protected_resource(request: Request) -> Response:
    """Describe the API (RFC 9728)."""
    return JsonReply(protected_resource(services_of(request).address))


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
    return sign_in.consent_page(
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
        return sign_in.end_page("You are signed out", "Go back to the program and begin anew.", 401)
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
    return sign_in.code_page(DEVICE_PATH, form_token_of(request), user_code)


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
        return sign_in.code_page(DEVICE_PATH, token, "", str(error), HTTP_STATUS[error.status])
    decision = fields.get("decision")
    if decision not in ("allow", "deny"):
        client = accounts.clients.get(code.client_id)
        if client is None:
            return sign_in.end_page("Too late", "The program that asked is not known any more.", 404)
        return sign_in.device_page(DEVICE_PATH, client, session.user_id, code.scope, typed, token)
    accounts.codes.decide(code, session.user_id, is_approved=decision == "allow")
    return sign_in.end_page("Done" if decision == "allow" else "Denied", "You can close this page.")


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
        return sign_in.end_page("This request cannot be used", str(error), 400)
    except OAuth2Error as error:
        if error.redirect_uri:  # only set once we know that it is the client's
            return server.error_response(oauth_request, error)
        return sign_in.end_page("This request cannot be used", error.description or error.error, 400)


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


def authorization_server(address: str) -> dict[str, object]:
    """Return the metadata of the authorization server (RFC 8414)."""
    with_secret = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": address,
        "authorization_endpoint": f"{address}/oauth/authorize",
        "token_endpoint": f"{address}/oauth/token",
        "device_authorization_endpoint": f"{address}/oauth/device_authorization",
        "revocation_endpoint": f"{address}/oauth/revoke",
        "introspection_endpoint": f"{address}/oauth/introspect",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [CODE, REFRESH, DEVICE, KEY_FILE],
        "token_endpoint_auth_methods_supported": [*with_secret, "none"],
        "revocation_endpoint_auth_methods_supported": [*with_secret, "none"],
        "introspection_endpoint_auth_methods_supported": with_secret,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


def protected_resource(address: str) -> dict[str, object]:
    """Return the metadata of the API (RFC 9728)."""
    return {
        "resource": address,
        "authorization_servers": [address],
        "scopes_supported": list(SCOPES),
        "bearer_methods_supported": ["header"],
        "resource_name": "tunery",
    }
