"""
Authlib's authorization server with our accounts behind it, and its endpoints besides authorize and token.

Knows Authlib and the accounts; HTTP only as status, body and headers.
"""

from __future__ import annotations

import logging
from typing import Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc6749.errors import InvalidScopeError, OAuth2Error, UnauthorizedClientError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint
from starlette.responses import Response

from tunery.server.oauth.grants import (
    AUTH_METHODS,
    CodeGrant,
    DeviceGrant,
    KeyFileGrant,
    RenewalGrant,
    S256Challenge,
    StoredToken,
)
from tunery.server.oauth.requests import OAuthClient, WebRequest
from tunery.server.replies import JsonReply
from tunery.service.access import SCOPES
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.oauth import DEVICE, DEVICE_CODE_SECONDS, POLL_SECONDS, new_user_code
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
