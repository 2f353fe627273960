"""
Requests and clients in the form in which Authlib asks for them.

Knows Authlib's interfaces and our values; takes no decision besides what makes a request malformed.
"""

from __future__ import annotations

import base64
import binascii
import re

from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from fastapi import Request

from tunery.server.forms import Parameters
from tunery.service.account_values import Client
from tunery.service.accounts.oauth import CODE, has_secret, may_redirect

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
