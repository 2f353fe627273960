"""
The values of accounts: frozen, with the names of their columns. None of them holds a secret, only hashes.

Pure data; knows no SQL, no HTTP and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

LOCAL_USER = "local"  # who works on this machine; owner and administrator of the data folder


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can sign in; `id` is the address in lower case, or "local"."""

    id: str
    is_admin: bool
    is_disabled: bool
    has_password: bool
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Users who are given access together; `id` is an address in lower case."""

    id: str
    members: tuple[str, ...]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret; it makes its caller known, but no user unless a setting says so."""

    id: str
    label: str
    user_id: str | None
    create_time: datetime
    last_use_time: datetime | None = None
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """The public half of a key file; who signs with the other half acts as its user."""

    id: str  # kid
    address: str
    public_key: str  # PEM
    label: str
    user_id: str
    create_time: datetime
    last_use_time: datetime | None = None
    revoke_time: datetime | None = None


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


class TokenKind(StrEnum):
    """What a token is good for."""

    ACCESS = "ACCESS"  # a bearer of the API, for an hour
    REFRESH = "REFRESH"  # for the token endpoint only
    PLAIN = "PLAIN"  # a bearer of the API, as long as its user chose


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret; `family` is that of all tokens which follow from one sign-in."""

    id: str
    kind: TokenKind
    family: str
    client_id: str | None
    user_id: str
    scope: str  # scopes with a blank between
    label: str
    create_time: datetime
    expire_time: datetime
    last_use_time: datetime | None = None
    replace_time: datetime | None = None
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """What a browser carries from the consent page to the client; good once, for a minute."""

    sha256: str
    family: str
    client_id: str
    user_id: str
    redirect_uri: str
    scope: str
    code_challenge: str  # of method S256
    expire_time: datetime
    use_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A sign-in that waits for its user to type a code into a browser elsewhere (RFC 8628)."""

    sha256: str
    user_code_sha256: str
    family: str
    client_id: str
    scope: str
    expire_time: datetime
    interval_seconds: int
    poll_time: datetime | None = None
    user_id: str | None = None
    is_approved: bool | None = None
    use_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in."""

    sha256: str
    user_id: str
    create_time: datetime
    expire_time: datetime
    last_use_time: datetime
    revoke_time: datetime | None = None
