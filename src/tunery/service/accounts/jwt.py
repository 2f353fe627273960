"""
Tokens that the holder of a key file signs for himself, as google-auth does (google.aip.dev/auth/4111).

RS256 and nothing else; iss = sub = the address of the key; our audience, or none but scopes of ours, at most an hour.
Knows keys and claims; nothing of tables or HTTP.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeGuard

from tunery.errors import InvalidArgument, Unauthenticated

GOOGLE_AUDIENCE = "https://generativelanguage.googleapis.com/"  # Google's client sends it whatever the endpoint is
GOOGLE_TOKEN_ENDPOINT = "https://oauth2.googleapis.com/token"  # in what it exchanges, whatever `token_uri` is
MAX_LIFE_SECONDS = 3600
CLOCK_SKEW_SECONDS = 60
MIN_KEY_BITS = 2048
MAX_TOKEN_CHARACTERS = 8_192

_ALGORITHM = "RS256"


def key_id_of(token: str) -> str | None:
    """Return the `kid` that a token names, None if it is no signed token of the right algorithm."""
    header, _, rest = token.partition(".")
    if len(token) > MAX_TOKEN_CHARACTERS or rest.count(".") != 1:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or values.get("alg") != _ALGORITHM:
        return None
    key_id = values.get("kid")
    return key_id if isinstance(key_id, str) else None


def claims_of(token: str, public_key: str) -> dict[str, Any]:
    """Return the claims of a token that was signed with the other half of a key; raises Unauthenticated."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import RSAKey

    try:
        return jwt.decode(token, RSAKey.import_key(public_key), algorithms=[_ALGORITHM]).claims
    except (JoseError, ValueError):
        raise Unauthenticated from None


def check_claims(
    claims: dict[str, Any], address: str, audiences: Collection[str], now: datetime, *, is_exchanged: bool = False
) -> tuple[str, ...]:
    """
    Return the scopes that a token asks for, none if it names none; raises Unauthenticated unless its claims hold.

    As a bearer, libraries leave the audience out when they send scopes; one that is exchanged (`is_exchanged`) has an
    audience, and names a subject only for somebody else.
    """
    issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    scope, audience = claims.get("scope", ""), claims.get("aud")
    seconds = now.timestamp()
    is_good = (
        claims.get("iss") == address == claims.get("sub", address if is_exchanged else None)
        and isinstance(scope, str)
        and _is_for_us(audience, audiences, may_be_missing=not is_exchanged and bool(scope.split()))
        and _is_number(issued)
        and _is_number(expires)
        and _is_number(not_before)
        and 0 < expires - issued <= MAX_LIFE_SECONDS
        and issued - CLOCK_SKEW_SECONDS <= seconds < expires
        and seconds >= not_before - CLOCK_SKEW_SECONDS
    )
    if not is_good:
        raise Unauthenticated
    return tuple(scope.split())


def normal_public_key(pem: str) -> str:
    """Return an RSA public key as PEM; raises InvalidArgument if it is none, too short, or a private key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        raise InvalidArgument("The public key is not a PEM document of a public key.") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
        raise InvalidArgument(f"The public key must be an RSA key of at least {MIN_KEY_BITS} bits.")
    encoded = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def _is_for_us(audience: object, audiences: Collection[str], *, may_be_missing: bool) -> bool:
    return may_be_missing if audience is None else isinstance(audience, str) and audience in audiences


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
