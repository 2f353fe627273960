"""
What is exchanged for tokens, each with our rules on top of Authlib's: codes, refresh tokens, device codes.

A code or a rotating token is marked as used in the same transaction in which its tokens are written down. Knows
Authlib's grants and the accounts.
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
from tunery.service.account_values import AuthorizationCode, Client, DeviceCode, Token
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.credentials import GOOGLE_TOKEN_ENDPOINT, Grant, Issued, key_id_of
from tunery.service.accounts.oauth import CODE, KEY_FILE, has_secret, may_redirect

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
            raise InvalidRequestError("code_challenge must be the base64url form of a SHA-256.")
        super().validate_code_challenge(grant, redirect_uri)

    def get_authorization_code_challenge(self, authorization_code: StoredCode) -> str:
        """Return the challenge that came with the authorization request."""
        return authorization_code.code.code_challenge

    def get_authorization_code_challenge_method(self, authorization_code: StoredCode) -> str:  # noqa: ARG002
        """Return the only method."""
        return "S256"


class StoredCode:
    """An authorization code with the answers that Authlib wants to have of it."""

    def __init__(self, code: AuthorizationCode) -> None:
        self.code = code

    def get_redirect_uri(self) -> str:
        """Return where the browser was sent."""
        return self.code.redirect_uri

    def get_scope(self) -> str:
        """Return what the user consented to."""
        return self.code.scope


class CodeGrant(AuthorizationCodeGrant):
    """A code that a browser brought back; 60 seconds, once, and its second use ends what the first gave."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def create_authorization_response(self, redirect_uri: str, grant_user: str | None) -> Any:
        """Return the redirect with a code, or the error of a user who said no."""
        self.request.user = grant_user
        return super().create_authorization_response(redirect_uri, grant_user)

    def generate_authorization_code(self) -> str:
        """Make a code and write it down."""
        request, accounts = self.request, self._accounts
        challenge = request.payload.data["code_challenge"]
        client, uri = request.client.client, request.payload.redirect_uri
        return accounts.codes.new_code(client, request.user, uri, request.scope, challenge)

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Do nothing: it was written down when it was made."""

    def query_authorization_code(self, code: str, client: Any) -> StoredCode | None:
        """Return a code of this client; one that was used before ends what it gave."""
        found = self._accounts.codes.find_code(code)
        if found is None or found.client_id != client.get_client_id():
            return None
        if found.use_time is not None:
            self._accounts.tokens.revoke_family(found.family)
            return None
        return StoredCode(found)

    def create_token_response(self) -> TokenReply:
        """Give tokens for the code."""
        code: AuthorizationCode = self.request.authorization_code.code
        grant = Grant(self.request.client.client, code.user_id, code.scope, code.family)
        return _reply(self._accounts.tokens.redeem_code(grant, code.sha256))

    @property
    def _accounts(self) -> Accounts:
        accounts: Accounts = self.server.accounts
        return accounts


class StoredToken:
    """A token with the answers that Authlib wants to have of it."""

    def __init__(self, token: Token) -> None:
        self.token = token

    def check_client(self, client: Any) -> bool:
        """Say whether it was given to this client."""
        return bool(self.token.client_id == client.get_client_id())

    def get_scope(self) -> str:
        """Return what the user consented to."""
        return self.token.scope

    def is_expired(self) -> bool:
        """Return False: only tokens that are good are ever found."""
        return False

    is_revoked = is_expired


class RenewalGrant(RefreshTokenGrant):
    """A refresh token: of a public client new each time, of a confidential one the same for 90 days."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def authenticate_refresh_token(self, refresh_token: str) -> StoredToken | None:
        """Return a refresh token of this client; one that was exchanged before ends its sign-in."""
        found = self._accounts.tokens.check_refresh(refresh_token, self.request.client.client)
        return None if found is None else StoredToken(found)

    def create_token_response(self) -> TokenReply:
        """Give a new access token with the scope of the sign-in, or a part of it."""
        token: Token = self.request.refresh_token.token
        asked = self.request.payload.scope or token.scope
        if not set(asked.split()) <= set(token.scope.split()):
            raise InvalidScopeError
        client = self.request.client.client
        grant = Grant(client, token.user_id, token.scope, token.family, token.expire_time, access_scope=asked)
        return _reply(self._accounts.tokens.renew(grant, token))

    @property
    def _accounts(self) -> Accounts:
        accounts: Accounts = self.server.accounts
        return accounts


class DeviceGrant(DeviceCodeGrant):
    """A device code whose user said yes in a browser elsewhere."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def query_device_credential(self, device_code: str) -> StoredDevice | None:
        """Return the device code."""
        self._found = self._accounts.codes.find_device_code(device_code)
        return None if self._found is None else StoredDevice(self._found, self._accounts)

    def query_user_grant(self, _user_code: str) -> tuple[str, bool] | None:
        """Return who decided, and what; None until somebody did."""
        code = self._found
        return None if code is None or code.user_id is None else (code.user_id, bool(code.is_approved))

    def should_slow_down(self, credential: StoredDevice) -> bool:
        """Say whether the device asks too often."""
        return self._accounts.codes.polls_too_fast(credential.code)

    def create_token_response(self) -> TokenReply:
        """Give tokens for the device code."""
        code: DeviceCode = self.request.credential.code
        grant = Grant(self.request.client.client, self.request.user, code.scope, code.family)
        return _reply(self._accounts.tokens.redeem_device_code(grant, code.sha256))

    @property
    def _accounts(self) -> Accounts:
        accounts: Accounts = self.server.accounts
        return accounts


class KeyFileGrant(BaseGrant, TokenEndpointMixin):
    """
    A token that the holder of a key file signed (RFC 7523), as google-auth sends it where no scopes were given.

    The signature is the authentication; there is no client.
    """

    GRANT_TYPE = KEY_FILE

    def validate_token_request(self) -> None:
        """Check the signed token; it is for our token endpoint, or for Google's, which the library writes always."""
        accounts: Accounts = self.server.accounts
        audiences = (f"{self.server.address}/oauth/token", GOOGLE_TOKEN_ENDPOINT)
        try:
            caller = accounts.caller_of_jwt(self.request.payload.data.get("assertion", ""), audiences)
        except Unauthenticated:
            raise InvalidGrantError("The assertion is not valid, or its key was revoked.") from None
        self.request.user, self.request.scope = caller.user_id, " ".join(sorted(caller.scopes))

    def create_token_response(self) -> TokenReply:
        """Give an access token for the owner of the key file."""
        accounts: Accounts = self.server.accounts
        key_id = key_id_of(self.request.payload.data["assertion"])
        assert key_id is not None, "it was checked"
        return _reply(accounts.tokens.create_access(self.request.user, self.request.scope, key_id))


class StoredDevice:
    """A device code with the answers that Authlib wants to have of it."""

    def __init__(self, code: DeviceCode, accounts: Accounts) -> None:
        self.code, self._accounts = code, accounts

    def get_client_id(self) -> str:
        """Return which client waits."""
        return self.code.client_id

    def get_scope(self) -> str:
        """Return what it asks for."""
        return self.code.scope

    def get_user_code(self) -> str:
        """Return nothing: we keep a hash of what the user types."""
        return ""

    def is_expired(self) -> bool:
        """Say whether it is too old."""
        return self._accounts.codes.is_expired(self.code)


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


# What RFC 6749, appendix A, lets these hold; Authlib repeats some of them in its errors and fails on other characters.
_PLAIN = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,4096}")
_PLAIN_PARAMETERS = (
    "client_id client_secret response_type redirect_uri scope grant_type code code_challenge code_challenge_method"
    " code_verifier refresh_token device_code token token_type_hint"
)
_MAX_STATE_CHARACTERS = 4096


class WebRequest(OAuth2Request):
    """A request as it came, under the public address: behind a TLS proxy we see another one ourselves."""

    def __init__(self, request: Request, parameters: Parameters, address: str) -> None:
        super().__init__(request.method, f"{address}{request.url.path}", headers=_headers(request, parameters))
        _check(parameters)
        self.payload = BasicOAuth2Payload(parameters)

    @property
    def form(self) -> Parameters:
        """Return the parameters, of a query or a body, each of them once."""
        data: Parameters = self.payload.data
        return data


class OAuthClient(ClientMixin):
    """A client with the answers that Authlib wants to have of it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get_client_id(self) -> str:
        """Return the id."""
        return self.client.id

    def get_default_redirect_uri(self) -> None:
        """Return None: a client says where it wants to be called."""

    def get_allowed_scope(self, scope: str) -> str:
        """Return what was asked for: it is granted exactly or was refused before."""
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Say whether a browser may be sent there."""
        return may_redirect(self.client, redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        """Say whether this is the secret."""
        return has_secret(self.client, client_secret)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Say whether a client may show in this way who it is: with its secret if it has one."""
        return (method == "none") == self.client.is_public

    def check_response_type(self, response_type: str) -> bool:
        """Say whether a client may ask for this at the authorization endpoint."""
        return response_type == "code" and self.check_grant_type(CODE)

    def check_grant_type(self, grant_type: str) -> bool:
        """Say whether a client may use a grant."""
        return grant_type in self.client.grant_types


def _check(parameters: Parameters) -> None:
    for name in _PLAIN_PARAMETERS.split():
        if name in parameters and not _PLAIN.fullmatch(parameters[name]):
            raise InvalidRequestError(f"The parameter {name} holds characters that it cannot have, or too many.")
    if len(parameters.get("state", "")) > _MAX_STATE_CHARACTERS:
        raise InvalidRequestError("The parameter state is too long.")


def _headers(request: Request, parameters: Parameters) -> dict[str, str]:
    """Return the header that Authlib reads, if it can be read; raises InvalidClientError, InvalidRequestError."""
    value = request.headers.get("authorization")
    if value is None:
        return {}
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClientError(status_code=401, description="Only Basic authentication is known here.")
    try:
        client_id, _, _ = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        raise InvalidClientError(status_code=401, description="The Authorization header cannot be read.") from None
    if "client_secret" in parameters or parameters.get("client_id", client_id) != client_id:
        raise InvalidRequestError("The client says who it is in more than one way.")
    return {"Authorization": value}
