"""
The authorization server: signs users in for programs (RFC 6749, 7636, 8628, 7009, 7662, 8414, 9207, 9728).

Authlib's framework-free core between FastAPI and the accounts. Handlers are plain functions, so that Authlib and the
database work in the thread pool.
"""

from __future__ import annotations

import logging
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
from tunery.server.oauth_grants import (
    AUTH_METHODS,
    CodeGrant,
    DeviceGrant,
    KeyFileGrant,
    OAuthClient,
    RenewalGrant,
    S256Challenge,
    Stored,
    WebRequest,
)
from tunery.server.sign_in import form_token_of, require_form_token, sign_in_first, user_of
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
from tunery.service.accounts.values import Credential, TokenKind, new_secret

DEVICE_PATH = "/oauth/device"

logging.getLogger("authlib").setLevel(logging.WARNING)  # at its debug level it writes tokens into the log


class OAuthServer(AuthorizationServer):
    """The authorization server at an address; made anew for each request."""

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
        """Return a client that was not revoked."""
        client = self.accounts.clients.get(client_id)
        return None if client is None else OAuthClient(client)

    def validate_requested_scope(self, scope: str | None) -> None:
        """Refuse an unknown scope: exactly what is requested is granted."""
        if not scope or not set(scope.split(" ")) <= set(SCOPES):
            raise InvalidScopeError

    def create_oauth2_request(self, request: WebRequest) -> WebRequest:
        return request  # already one of Authlib's

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        """Return a reply of Authlib as a response; a redirect names the issuer (RFC 9207)."""
        if status == 302:
            location = add_params_to_uri(dict(headers)["Location"], [("iss", self.address)])
            # 303: a browser must not send the password of a form on to the client (RFC 9700, section 4.12)
            return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})
        ours = {"content-type", "cache-control", "pragma"}
        kept = {name: value for name, value in headers if name.lower() not in ours}
        return JsonReply(body, status, {"Cache-Control": "no-store", "Pragma": "no-cache"} | kept)

    def error_response(self, request: WebRequest | None, error: OAuth2Error) -> Response:
        """Return the response for an error; `request` is None if it was unreadable."""
        reply: Response = self.handle_error_response(request, error)
        return reply

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Do nothing: there are no receivers."""


class DeviceStart(DeviceAuthorizationEndpoint):
    """The start of the device flow (RFC 8628)."""

    CLIENT_AUTH_METHODS = AUTH_METHODS
    EXPIRES_IN = DEVICE_CODE_SECONDS
    INTERVAL = POLL_SECONDS

    def authenticate_client(self, request: WebRequest) -> OAuthClient:
        """Return the client; refuse one that may not use the device flow."""
        client: OAuthClient = super().authenticate_client(request)
        if not client.check_grant_type(DEVICE):
            raise UnauthorizedClientError
        return client

    def generate_device_code(self) -> str:
        return new_secret(TokenKind.DEVICE)

    def generate_user_code(self) -> str:
        return new_user_code()

    def get_verification_uri(self) -> str:
        return f"{self.server.address}{DEVICE_PATH}"

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, str]) -> None:
        """Store both codes."""
        accounts: Accounts = self.server.accounts
        client = accounts.clients.get(client_id)
        assert client is not None
        accounts.codes.new_device_code(client, scope, data["device_code"], data["user_code"])


class Revocation(RevocationEndpoint):
    """Revocation of a token by its client (RFC 7009)."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string: str, _token_type_hint: str | None) -> Stored | None:
        return _stored_token(self.server, token_string)

    def revoke_token(self, token: Stored, _request: WebRequest) -> None:
        self.server.accounts.tokens.revoke(token.value)


class Introspection(IntrospectionEndpoint):
    """Information about a token for its client, which needs a secret (RFC 7662)."""

    CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def query_token(self, token_string: str, _token_type_hint: str | None) -> Stored | None:
        return _stored_token(self.server, token_string)

    def check_permission(self, token: Stored, client: OAuthClient, _request: WebRequest) -> bool:
        return token.check_client(client)

    def introspect_token(self, token: Stored) -> dict[str, Any]:
        found: Credential = token.value
        assert found.expire_time is not None, "tokens expire"
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


def _stored_token(server: OAuthServer, secret: str) -> Stored | None:
    found = server.accounts.tokens.find(secret)
    return None if found is None else Stored(found)


router = APIRouter(tags=["sign-in"], include_in_schema=False)


async def _oauth_form(request: Request) -> Parameters | OAuth2Error:
    """Return the fields of a form, or OAuth's own error if it is malformed."""
    try:
        return await form_of(request)
    except InvalidArgument as error:
        return InvalidRequestError(_ascii(error))


OAuthForm = Annotated[Parameters | OAuth2Error, Depends(_oauth_form)]
Form = Annotated[Parameters, Depends(form_of)]


@router.get("/.well-known/oauth-authorization-server")
def describe_authorization_server(request: Request) -> Response:
    """Return the metadata of the authorization server (RFC 8414)."""
    address = services_of(request).address
    with_secret = ["client_secret_basic", "client_secret_post"]
    return JsonReply(
        {
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
            "token_endpoint_auth_methods_supported": AUTH_METHODS,
            "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
            "introspection_endpoint_auth_methods_supported": with_secret,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
    )


@router.get("/.well-known/oauth-protected-resource")
def describe_protected_resource(request: Request) -> Response:
    """Return the metadata of the API (RFC 9728)."""
    address = services_of(request).address
    return JsonReply(
        {
            "resource": address,
            "authorization_servers": [address],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_name": "tunery",
        }
    )


@router.get("/oauth/authorize")
def authorize(request: Request) -> Response:
    """Ask the user, who signs in first if necessary, whether a program may act for them."""
    server = _server(request)
    authorization = _authorization(server, request, request.url.query)
    if isinstance(authorization, Response):
        return authorization
    user_id = user_of(request)
    if user_id is None:
        return sign_in_first(request)
    return sign_in.consent_page(
        authorization.request.client.client,
        user_id,
        authorization.request.scope,
        authorization.redirect_uri,
        request.url.query,
        form_token_of(request),
    )


@router.post("/oauth/authorize")
def decide(request: Request, fields: Form) -> Response:
    """Send the browser back to the program with a code, or with the error that the user denied access."""
    server, user_id = _server(request), user_of(request)
    if user_id is None:
        return sign_in.end_page("You are signed out", "Go back to the program and start again.", 401)
    require_form_token(request, fields)
    authorization = _authorization(server, request, fields.get("request", ""))
    if isinstance(authorization, Response):
        return authorization
    user = user_id if fields.get("decision") == "allow" else None
    reply: Response = server.create_authorization_response(authorization.request, grant_user=user, grant=authorization)
    return reply


@router.post("/oauth/token")
def create_token(request: Request, form: OAuthForm) -> Response:
    """Issue tokens for a code, a refresh token, a device code or a token signed with a key file."""
    return _answer(request, form)


@router.post("/oauth/device_authorization")
def start_device(request: Request, form: OAuthForm) -> Response:
    """Give a device a code to wait with, and one for its user to type."""
    return _answer(request, form, "device_authorization")


@router.post("/oauth/revoke")
def revoke(request: Request, form: OAuthForm) -> Response:
    """Revoke a token."""
    return _answer(request, form, "revocation")


@router.post("/oauth/introspect")
def introspect(request: Request, form: OAuthForm) -> Response:
    """Return to a client what is known about one of its tokens."""
    return _answer(request, form, "introspection")


@router.get(DEVICE_PATH)
def show_device(request: Request, user_code: str = "") -> Response:
    """Show the form for the code of a device."""
    if user_of(request) is None:
        return sign_in_first(request)
    return sign_in.code_page(DEVICE_PATH, form_token_of(request), user_code)


@router.post(DEVICE_PATH)
def decide_device(request: Request, fields: Form) -> Response:
    """Find the device that waits for a code and let the user decide about it."""
    user_id, accounts = user_of(request), services_of(request).accounts
    if user_id is None:
        return sign_in_first(request)
    require_form_token(request, fields)
    typed, token = fields.get("user_code", ""), form_token_of(request)
    try:
        code = accounts.codes.waiting_device(typed, user_id)
    except (NotFound, ResourceExhausted) as error:
        return sign_in.code_page(DEVICE_PATH, token, "", str(error), HTTP_STATUS[error.status])
    decision = fields.get("decision")
    if decision not in ("allow", "deny"):
        client = accounts.clients.get(code.client_id)
        if client is None:
            return sign_in.end_page("Too late", "The program was removed from this server.", 404)
        return sign_in.device_page(DEVICE_PATH, client, user_id, code.scope, typed, token)
    accounts.codes.decide(code, user_id, is_approved=decision == "allow")
    return sign_in.end_page("Access allowed" if decision == "allow" else "Access denied", "You can close this page.")


def _server(request: Request) -> OAuthServer:
    services = services_of(request)
    return OAuthServer(services.accounts, services.address)


def _authorization(server: OAuthServer, request: Request, query: str) -> CodeGrant | Response:
    """Return the grant of an authorization request, or the reply to an invalid one."""
    oauth_request = None
    try:
        oauth_request = WebRequest(request, parameters_of(query), server.address)
        grant: CodeGrant = server.get_consent_grant(oauth_request)
    except InvalidArgument as error:
        return sign_in.end_page("This request is not valid", str(error), 400)
    except OAuth2Error as error:
        if error.redirect_uri:  # only set once we know that it is the client's
            return server.error_response(oauth_request, error)
        return sign_in.end_page("This request is not valid", error.description or error.error, 400)
    return grant


def _answer(request: Request, form: Parameters | OAuth2Error, endpoint: str | None = None) -> Response:
    """Return the reply of an endpoint of Authlib, of the token endpoint by default."""
    server = _server(request)
    try:
        if isinstance(form, OAuth2Error):
            raise form
        if request.url.query:
            raise InvalidRequestError("Send parameters in the body: addresses end up in logs.")
        oauth_request = WebRequest(request, form, server.address)
        reply: Response = (
            server.create_endpoint_response(endpoint, oauth_request)
            if endpoint
            else server.create_token_response(oauth_request)
        )
    except OAuth2Error as error:
        return server.error_response(None, error)
    return reply


def _ascii(error: Exception) -> str:
    """Return the text of an error in the characters OAuth allows."""
    return str(error).replace('"', "'").replace("\\", "/").encode("ascii", "replace").decode()
