"""
The values of accounts, and the secrets issued for them.

No value contains a secret, only its SHA-256. A secret is 256 random bits with a checksum and a prefix that secret
scanners recognize:

    tny_k_ + 43 characters (256 bits) + 6 characters (CRC-32 of the text before it)
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 43  # 62 ** 43 > 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 > 2 ** 32
_SECRET = re.compile(rf"(tny_[a-z]_)[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


class TokenKind(StrEnum):
    """What a secret is for; the value is its prefix. ACCESS, REFRESH and PLAIN are stored by name in `tokens`."""

    ACCESS = "tny_a_"  # opens the API, for an hour
    REFRESH = "tny_r_"  # accepted by the token endpoint only
    PLAIN = "tny_t_"  # opens the API until a date its user chose
    KEY = "tny_k_"  # an API key, or the public key of a key file
    CLIENT = "tny_x_"
    CODE = "tny_c_"  # an authorization code
    DEVICE = "tny_d_"
    SESSION = "tny_s_"
    SETUP = "tny_u_"
    LOCAL = "tny_l_"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can sign in; `id` is the e-mail address in lower case, or "local"."""

    id: str
    is_admin: bool
    is_disabled: bool
    has_password: bool
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Users who are given access together; `id` is an e-mail address in lower case."""

    id: str
    members: tuple[str, ...]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, an API key, a key file or a browser session, with which a caller proves an identity."""

    kind: TokenKind
    id: str  # for a key file its `kid`, for a session the SHA-256 of its secret
    user_id: str | None  # None only for API keys
    create_time: datetime
    label: str = ""
    expire_time: datetime | None = None  # None for keys
    last_use_time: datetime | None = None
    # tokens only
    sign_in: str = ""  # shared by all tokens that follow from one sign-in
    client_id: str | None = None
    scope: str = ""  # separated by blanks
    # key files only
    address: str | None = None
    public_key: str | None = None  # PEM


@dataclass(frozen=True, slots=True)
class Client:
    """A program that signs users in; public if it has no secret (RFC 6749, section 2.1)."""

    id: str
    secret_sha256: str | None
    name: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    access_seconds: int
    user_id: str | None
    create_time: datetime
    revoke_time: datetime | None = None

    @property
    def is_public(self) -> bool:
        return self.secret_sha256 is None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """The code that a browser carries from the consent page to the client; valid once, for a minute."""

    sha256: str
    sign_in: str
    client_id: str
    user_id: str
    redirect_uri: str
    scope: str
    code_challenge: str  # of method S256
    expire_time: datetime
    use_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A sign-in that is waiting for its user to type a code into a browser elsewhere (RFC 8628)."""

    sha256: str
    user_code_sha256: str
    sign_in: str
    client_id: str
    scope: str
    expire_time: datetime
    interval_seconds: int
    poll_time: datetime | None = None
    user_id: str | None = None  # who decided
    is_approved: bool | None = None
    use_time: datetime | None = None


def new_secret(kind: TokenKind) -> str:
    """Return a new secret."""
    body = kind + _in_base_62(secrets.randbits(256), _RANDOM_LENGTH)
    return body + _checksum(body)


def kind_of(secret: str) -> TokenKind | None:
    """
    Return the kind of a well-formed secret, None for any other text, so that typing mistakes never reach the database.
    """
    found = _SECRET.fullmatch(secret)
    if found is None or _checksum(secret[:-_CHECKSUM_LENGTH]) != secret[-_CHECKSUM_LENGTH:]:
        return None
    return next((kind for kind in TokenKind if kind == found[1]), None)


def digest(secret: str) -> str:
    """Return the SHA-256 that is stored for a secret; 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _in_base_62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _in_base_62(number: int, length: int) -> str:
    text = ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
