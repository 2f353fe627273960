"""
What is exchanged for tokens: authorization codes, refresh tokens, device codes and tokens signed with a key file.

Each grant adds our rules to Authlib's. A code or a refresh token is marked as used in the transaction that stores the
tokens it gives.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidGrantError, InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, BaseGrant, RefreshTokenGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceCodeGrant
from fastapi import Request

from tunery.errors import Unauthenticated
from tunery.server.http import Parameters
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.credentials import GOOGLE_TOKEN_ENDPOINT, Grant, Issued, key_id_of
from tunery.service.accounts.oauth import CODE, KEY_FILE, has_secret, may_redirect
from tunery.service.accounts.values import AuthorizationCode, Client, Credential, DeviceCode

AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
NO_STORE = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Pragma", "no-cache")]

_S256 = re.compile(r"[A-Za-z0-9_-]{43}")  # of 32 bytes in base64url without padding (RFC 7636, 4.2)

TokenReply = tuple[int, dict[str, Any], list[tuple[str, str]]]


class S256Challenge(CodeChallenge):
    """PKCE for every client, confidential ones too, and with S256 only."""

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
    """A code that a browser brought back: valid for 60 seconds, once; its second use ends what the first gave."""

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
        """Do nothing: the code was stored when it was made."""

    def query_authorization_code(self, code: str, client: OAuthClient) -> Stored | None:
        """Return a code of this client; one that was used before ends what it gave."""
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
        """Return a refresh token of this client; one that was exchanged before ends its sign-in."""
        found = self._accounts.tokens.check_refresh(refresh_token, self.request.client.client)
        return None if found is None else Stored(found)

    def create_token_response(self) -> TokenReply:
        """Issue an access token with the scope of the sign-in, or a part of it."""
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
        """Return the user who decided, and whether it was approved; None while nobody has decided."""
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
    A token signed with a key file (RFC 7523), as google-auth sends it if no scopes were given.

    The signature authenticates; there is no client.
    """

    GRANT_TYPE = KEY_FILE

    def validate_token_request(self) -> None:
        """Check the signed token: it is for our token endpoint, or for Google's, which the library always writes."""
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
    """A request under the public address; behind a TLS proxy we see another one ourselves."""

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
        return scope  # granted exactly as requested, or refused before

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return may_redirect(self.client, redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        return has_secret(self.client, client_secret)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Return whether the client authenticates as it must: with its secret if it has one."""
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
