"""
The authorization server: signs users in for programs (RFC 6749, 7636, 8628, 7009, 7662, 8414, 9207, 9728).

This connects the framework-independent core of Authlib with FastAPI and the accounts. Handlers are plain functions, so
that Authlib and the database run in the thread pool. Each grant adds our rules to Authlib's; a code or a refresh token
is marked as used in the transaction that stores the new tokens.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from typing import Annotated, Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, BaseGrant, RefreshTokenGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tunery.errors import InvalidArgument, NotFound, ResourceExhausted, Unauthenticated
from tunery.server import sign_in
from tunery.server.http import HTTP_STATUS, JsonReply, Parameters, form_of, parameters_of, services_of
from tunery.server.security import address_of
from tunery.server.sign_in import form_token_of, require_form_token, sign_in_first, user_of
from tunery.service.access import SCOPES
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.credentials import GOOGLE_TOKEN_ENDPOINT, Grant, Issued, key_id_of
from tunery.service.accounts.oauth import (
    CODE,
    DEVICE,
    DEVICE_CODE_SECONDS,
    KEY_FILE,
    POLL_SECONDS,
    REFRESH,
    has_secret,
    may_redirect,
    new_user_code,
)
from tunery.service.accounts.values import AuthorizationCode, Client, Credential, DeviceCode, TokenKind, new_secret

DEVICE_PATH = "/oauth/device"

logging.getLogger("authlib").setLevel(logging.WARNING)  # at debug level, it would write tokens to the log


AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
NO_STORE = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache")]

_S256 = re.compile(r"[A-Za-z0-9_-]{43}")  # of 32 bytes in base64url without padding (RFC 7636, 4.2)

TokenReply = tuple[int, dict[str, Any], list[tuple[str, str]]]


class S256Challenge(CodeChallenge):
    """PKCE for every client, including confidential ones, and only with S256."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        """Refuse an authorization request without a challenge of method S256."""
        parameters = grant.request.payload.data
        if parameters.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256.")
        if not _S256.fullmatch(parameters.get("code_challenge", "")):
            raise InvalidRequestError("code_challenge must be a SHA-256 hash in base64url.")
        super().validate_code_challenge(grant, redirect_uri)

    def get_authorization_code_challenge(self, authorization_code: Stored) -> str:
        challenge: str = authorization_code.value.code_challenge
        return challenge

    def get_authorization_code_challenge_method(self, authorization_code: Stored) -> str:  # noqa: ARG002
        return "S256"


class Stored:
    """A token or a code with the methods that Authlib calls; `is_expired` only matters for device codes."""

    def __init__(self, value: Any, *, is_expired: bool = False) -> None:
        self.value, self._is_expired = value, is_expired

    def check_client(self, client: OAuthClient) -> bool:
        return bool(self.get_client_id() == client.get_client_id())

    def get_client_id(self) -> str:
        client_id: str = self.value.client_id
        return client_id

    def get_scope(self) -> str:
        scope: str = self.value.scope
        return scope

    def get_redirect_uri(self) -> str:
        uri: str = self.value.redirect_uri
        return uri

    def get_user_code(self) -> str:
        return ""  # only its hash is kept

    def is_expired(self) -> bool:
        return self._is_expired

    def is_revoked(self) -> bool:
        return False  # only valid tokens are found


class _OurGrant:
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: Any
    request: Any

    @property
    def _accounts(self) -> Accounts:
        accounts: Accounts = self.server.accounts
        return accounts


class CodeGrant(_OurGrant, AuthorizationCodeGrant):
    """
    A code that a browser brought back. It is valid once, for 60 seconds; a second use revokes what the first one
    granted.
    """

    def create_authorization_response(self, redirect_uri: str, grant_user: str | None) -> Any:
        """Return the redirect with a code, or with an error if the user denied access."""
        self.request.user = grant_user
        return super().create_authorization_response(redirect_uri, grant_user)

    def generate_authorization_code(self) -> str:
        """Make and store a code."""
        request = self.request
        challenge = request.payload.data["code_challenge"]
        client, uri = request.client.client, request.payload.redirect_uri
        return self._accounts.codes.new_code(client, request.user, uri, request.scope, challenge)

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Do nothing, because the code was stored when it was created."""

    def query_authorization_code(self, code: str, client: OAuthClient) -> Stored | None:
        """Return a code of this client; if it was used before, revoke what it granted."""
        found = self._accounts.codes.find_code(code)
        if found is None or found.client_id != client.get_client_id():
            return None
        if found.use_time is not None:
            self._accounts.tokens.revoke_sign_in(found.sign_in)
            return None
        return Stored(found)

    def create_token_response(self) -> TokenReply:
        """Issue tokens for the code."""
        code: AuthorizationCode = self.request.authorization_code.value
        grant = Grant(self.request.client.client, code.user_id, code.scope, code.sign_in)
        return _reply(self._accounts.tokens.redeem(grant, code))


class RenewalGrant(_OurGrant, RefreshTokenGrant):
    """A refresh token: a public client gets a new one each time, a confidential client keeps its own for 90 days."""

    def authenticate_refresh_token(self, refresh_token: str) -> Stored | None:
        """Return a refresh token of this client; if it was exchanged before, end its sign-in."""
        found = self._accounts.tokens.check_refresh(refresh_token, self.request.client.client)
        return None if found is None else Stored(found)

    def create_token_response(self) -> TokenReply:
        """Issue an access token with the scope of the sign-in, or part of it."""
        token: Credential = self.request.refresh_token.value
        scope = self.request.payload.scope or token.scope
        if not set(scope.split()) <= set(token.scope.split()):
            raise InvalidScopeError
        client, user_id = self.request.client.client, str(token.user_id)
        grant = Grant(client, user_id, token.scope, token.sign_in, token.expire_time, access_scope=scope)
        return _reply(self._accounts.tokens.renew(grant, token))


class DeviceGrant(_OurGrant, DeviceCodeGrant):
    """A device code that a user approved in a browser elsewhere."""

    def query_device_credential(self, device_code: str) -> Stored | None:
        """Return the device code."""
        code = self._found = self._accounts.codes.find_device_code(device_code)
        return None if code is None else Stored(code, is_expired=self._accounts.codes.is_expired(code))

    def query_user_grant(self, _user_code: str) -> tuple[str, bool] | None:
        """Return the user who decided, and whether the device was approved; None while nobody has decided."""
        code = self._found
        return None if code is None or code.user_id is None else (code.user_id, bool(code.is_approved))

    def should_slow_down(self, credential: Stored) -> bool:
        """Return whether the device polls too often."""
        return self._accounts.codes.polls_too_fast(credential.value)

    def create_token_response(self) -> TokenReply:
        """Issue tokens for the device code."""
        code: DeviceCode = self.request.credential.value
        grant = Grant(self.request.client.client, self.request.user, code.scope, code.sign_in)
        return _reply(self._accounts.tokens.redeem(grant, code))


class KeyFileGrant(_OurGrant, BaseGrant, TokenEndpointMixin):
    """
    A token signed with a key file (RFC 7523), which google-auth sends if no scopes were given.

    The signature authenticates the caller; there is no client.
    """

    GRANT_TYPE = KEY_FILE

    def validate_token_request(self) -> None:
        """
        Check that the signed token is meant for our token endpoint, or for Google's, which the library always names.
        """
        audiences = (f"{self.server.address}/oauth/token", GOOGLE_TOKEN_ENDPOINT)
        try:
            caller = self._accounts.caller_of_jwt(self.request.payload.data.get("assertion", ""), audiences)
        except Unauthenticated:
            raise InvalidGrantError("The assertion is not valid, or its key was revoked.") from None
        self.request.user, self.request.scope = caller.user_id, " ".join(sorted(caller.scopes))

    def create_token_response(self) -> TokenReply:
        """Issue an access token for the user of the key file."""
        key_id = key_id_of(self.request.payload.data["assertion"])
        assert key_id is not None, "it was checked"
        return _reply(self._accounts.tokens.create_access(self.request.user, self.request.scope, key_id))


def _reply(issued: Issued | None) -> TokenReply:
    if issued is None:
        raise InvalidGrantError
    body: dict[str, Any] = {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    }
    if issued.refresh_token:
        body["refresh_token"] = issued.refresh_token
    return 200, body, NO_STORE


# The characters RFC 6749, appendix A, allows; Authlib repeats some values in its errors and fails on other characters.
_PLAIN = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,4096}")
_PLAIN_PARAMETERS = (
    "client_id client_secret response_type redirect_uri scope grant_type code code_challenge code_challenge_method"
    " code_verifier refresh_token device_code token token_type_hint"
)
_MAX_STATE_CHARACTERS = 4096


class WebRequest(OAuth2Request):
    """A request under the public address; behind a TLS proxy, we see a different one."""

    def __init__(self, request: Request, parameters: Parameters, address: str) -> None:
        super().__init__(request.method, f"{address}{request.url.path}", headers=_headers(request, parameters))
        _check(parameters)
        self.payload = BasicOAuth2Payload(parameters)

    @property
    def form(self) -> Parameters:
        data: Parameters = self.payload.data
        return data


class OAuthClient(ClientMixin):
    """A client with the methods that Authlib calls."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get_client_id(self) -> str:
        return self.client.id

    def get_default_redirect_uri(self) -> None:
        return None  # a client must name one

    def get_allowed_scope(self, scope: str) -> str:
        return scope  # granted exactly as requested, or already refused

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return may_redirect(self.client, redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        return has_secret(self.client, client_secret)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Return whether the client authenticates as required, which is with its secret if it has one."""
        return (method == "none") == self.client.is_public

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and self.check_grant_type(CODE)

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.client.grant_types


def _check(parameters: Parameters) -> None:
    for name in _PLAIN_PARAMETERS.split():
        if name in parameters and not _PLAIN.fullmatch(parameters[name]):
            raise InvalidRequestError(f"The parameter {name} is too long or has characters that are not allowed.")
    if len(parameters.get("state", "")) > _MAX_STATE_CHARACTERS:
        raise InvalidRequestError("The parameter state is too long.")


def _headers(request: Request, parameters: Parameters) -> dict[str, str]:
    """Return the header for Authlib if it is well-formed; raises InvalidClientError, InvalidRequestError."""
    value = request.headers.get("authorization")
    if value is None:
        return {}
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClientError(status_code=401, description="Only Basic authentication is supported.")
    try:
        client_id, _, _ = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        raise InvalidClientError(status_code=401, description="The Authorization header is malformed.") from None
    if "client_secret" in parameters or parameters.get("client_id", client_id) != client_id:
        raise InvalidRequestError("The client authenticates in more than one way.")
    return {"Authorization": value}


class OAuthServer(AuthorizationServer):
    """The authorization server at an address, created for each request."""

    def __init__(self, accounts: Accounts, address: str, client_address: str = "") -> None:
        super().__init__(scopes_supported=SCOPES)
        self.accounts, self.address, self.client_address = accounts, address, client_address
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
        """Refuse an unknown scope, because exactly what is requested is granted."""
        if not scope or not set(scope.split(" ")) <= set(SCOPES):
            raise InvalidScopeError

    def create_oauth2_request(self, request: WebRequest) -> WebRequest:
        return request  # already an error of Authlib

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        """Return Authlib's reply as a response; a redirect names the issuer (RFC 9207)."""
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
        """Do nothing, because there are no receivers."""


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
        codes = data["device_code"], data["user_code"]
        accounts.codes.new_device_code(client, scope, *codes, self.server.client_address)


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
    """Ask the user whether a program may act for them; the user signs in first if necessary."""
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
    """Give a device a code to poll with, and one for its user to type."""
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
    """Find the device that is waiting for a code and let the user decide about it."""
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
    return OAuthServer(services.accounts, services.address, address_of(request))


def _authorization(server: OAuthServer, request: Request, query: str) -> CodeGrant | Response:
    """Return the grant of an authorization request, or the reply to an invalid one."""
    oauth_request = None
    try:
        oauth_request = WebRequest(request, parameters_of(query), server.address)
        grant: CodeGrant = server.get_consent_grant(oauth_request)
    except InvalidArgument as error:
        return sign_in.end_page("This request is not valid", str(error), 400)
    except OAuth2Error as error:
        if error.redirect_uri:  # set only once we know that it belongs to the client
            return server.error_response(oauth_request, error)
        return sign_in.end_page("This request is not valid", error.description or error.error, 400)
    return grant


def _answer(request: Request, form: Parameters | OAuth2Error, endpoint: str | None = None) -> Response:
    """Return the reply of one of Authlib's endpoints, by default the token endpoint."""
    server = _server(request)
    try:
        if isinstance(form, OAuth2Error):
            raise form
        if request.url.query:
            raise InvalidRequestError("Send parameters in the body, because URLs end up in logs.")
        oauth_request = WebRequest(request, form, server.address)
        reply: Response = (
            server.create_endpoint_response(endpoint, oauth_request)
            if endpoint
            else server.create_token_response(oauth_request)
        )
    except OAuth2Error as error:
        return server.error_response(None, error)
    except ResourceExhausted as error:
        body = {"error": "slow_down", "error_description": _ascii(error)}
        return JsonReply(body, HTTP_STATUS[error.status], {"Cache-Control": "no-store", "Retry-After": "60"})
    return reply


def _ascii(error: Exception) -> str:
    """Return the text of an error in the characters OAuth allows."""
    return str(error).replace('"', "'").replace("\\", "/").encode("ascii", "replace").decode()
