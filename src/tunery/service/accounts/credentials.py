"""
Tokens, API keys, key files and browser sessions: creating, finding, listing and revoking them.

All of them are a `Credential`, found by the hash of its secret; a key file signs tokens instead (RFC 7523).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeGuard

from tunery.errors import InvalidArgument, NotFound, Unauthenticated
from tunery.service.accounts.users import Rate, Store, Users, normal_address
from tunery.service.accounts.values import (
    AuthorizationCode,
    Client,
    Credential,
    DeviceCode,
    TokenKind,
    digest,
    kind_of,
    new_secret,
)
from tunery.service.database import accounts as rows
from tunery.service.database import audit
from tunery.service.database.connection import Connection
from tunery.service.tuning import LOCAL_USER, random_id

ACCESS_SECONDS = 3600
REFRESH_DAYS = 90  # for a sign-in as a whole, however often it is renewed
REFRESH_IDLE_DAYS = 30
MAX_PLAIN_DAYS = 3650
SESSION_DAYS = 30
SESSION_IDLE_DAYS = 7
SETUP_LINK_MINUTES = 15
WRONG_KEYS = 60  # per minute, from all callers together; valid keys keep working meanwhile

GOOGLE_AUDIENCE = "https://generativelanguage.googleapis.com/"  # Google's client sends it to every endpoint
GOOGLE_TOKEN_ENDPOINT = "https://oauth2.googleapis.com/token"  # the audience for exchange, whatever `token_uri` says
MAX_LIFE_SECONDS = 3600
CLOCK_SKEW_SECONDS = 60
MIN_KEY_BITS = 3072  # as strong as 128 bits (NIST SP 800-57)
MAX_TOKEN_CHARACTERS = 8_192

_ALGORITHM = "RS256"
_MAX_SECONDS = 1 << 53
_BETWEEN_USES = timedelta(minutes=1)  # a use is recorded at most once a minute, not with every call


@dataclass(frozen=True, slots=True)
class Issued:
    """The tokens of a sign-in or a renewal; the only place that contains their secrets."""

    access_token: str
    expires_in: int  # seconds
    scope: str
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What tokens are issued for: a client that acts for a user within scopes."""

    client: Client
    user_id: str
    scope: str
    sign_in: str
    expire_time: datetime | None = None  # of the refresh token; None for the full life of a new sign-in
    access_scope: str | None = None  # of the access token, if it gets less than the sign-in


class Credentials:
    """What tokens, keys and sessions share: how they are created and found, and when a use is recorded."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _create(
        self, connection: Connection, kind: TokenKind, user_id: str | None, life: timedelta | None, **fields: Any
    ) -> tuple[Credential, str]:
        """Make and store a credential; return it with its secret, which is not stored."""
        now, secret = self._store.clock(), new_secret(kind)
        expire_time = None if life is None else now + life
        credential = Credential(kind, random_id(), user_id, now, expire_time=expire_time, **fields)
        rows.add_credential(connection, credential, digest(secret))
        return credential, secret

    def _find(self, secret: str, *kinds: TokenKind, idle_days: int | None = None) -> Credential | None:
        """Return the valid credential of one of these kinds; None if it is unknown, or was not used for `idle_days`."""
        kind, now = kind_of(secret), self._store.clock()
        if kind is None or kind not in kinds:
            return None
        with self._store.database.reading() as connection:
            found = rows.find_credential(connection, kind, digest(secret), now)
        if found is None or idle_days is None:
            return found
        last_use = found.last_use_time or found.create_time
        return found if now - last_use < timedelta(days=idle_days) else None

    def _note_use(self, credential: Credential) -> None:
        now, last_use = self._store.clock(), credential.last_use_time
        if last_use is None or now - last_use >= _BETWEEN_USES:
            with self._store.database.writing() as connection:
                rows.note_use(connection, credential, now)


class Tokens(Credentials):
    """Access tokens for an hour, plain tokens until a date, refresh tokens for the token endpoint only."""

    def check_bearer(self, secret: str) -> Credential | None:
        """Return the token with this secret if it opens the API, and note the use."""
        token = self._find(secret, TokenKind.ACCESS, TokenKind.PLAIN)
        if token is not None:
            self._note_use(token)
        return token

    def check_refresh(self, secret: str, client: Client) -> Credential | None:
        """
        Return a client's refresh token with this secret, None if it is no longer valid.

        If a token is used that was exchanged before, somebody has stolen it, so the whole sign-in ends (RFC 9700,
        4.14).
        """
        token = self._find(secret, TokenKind.REFRESH, idle_days=REFRESH_IDLE_DAYS)
        if token is not None:
            return token if token.client_id == client.id else None
        with self._store.database.reading() as connection:
            stolen = rows.replaced_sign_in(connection, digest(secret), client.id)
        if stolen is not None:
            self.revoke_sign_in(stolen)
        return None

    def redeem(self, grant: Grant, code: AuthorizationCode | DeviceCode) -> Issued | None:
        """
        Issue tokens for a code, marked as used in the same transaction; None if it was used before.

        The second use of an authorization code also revokes what the first one granted (RFC 6749, section 4.1.2).
        """
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if not rows.use_code(connection, code, now):
                if isinstance(code, AuthorizationCode):
                    rows.revoke_tokens(connection, now, sign_in=grant.sign_in)
                return None
            audit.record(connection, "SignIn", f"users/{grant.user_id}", actor=grant.user_id, client=grant.client.name)
            return self._issue(connection, grant)

    def renew(self, grant: Grant, refresh_token: Credential) -> Issued | None:
        """
        Issue an access token for a refresh token; a public client gets a new refresh token with it.

        A confidential client keeps its refresh token: google-auth does not store a new one and would lose it when its
        process ends. None if somebody else has exchanged the token in the meantime; then the sign-in ends.
        """
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if grant.client.is_public and not rows.replace_token(connection, refresh_token.id, now):
                rows.revoke_tokens(connection, now, sign_in=grant.sign_in)
                return None
            rows.note_use(connection, refresh_token, now)
            return self._issue(connection, grant, has_refresh_token=grant.client.is_public)

    def create_login(self, client: Client, user_id: str, scopes: Collection[str], days: int) -> Issued:
        """Sign a new client in for a user without a browser; the caller has checked that the user asked for it."""
        grant = Grant(client, user_id, " ".join(scopes), random_id(), self._store.clock() + timedelta(days=days))
        with self._store.database.writing() as connection:
            rows.add_client(connection, client)
            audit.record(connection, "CreateLogin", f"users/{user_id}", actor=user_id, client=client.name, days=days)
            return self._issue(connection, grant)

    def create_access(self, user_id: str, scope: str, key_id: str) -> Issued:
        """Issue an access token for the user of a key file; it ends with the key."""
        life = timedelta(seconds=ACCESS_SECONDS)
        with self._store.database.writing() as connection:
            _, secret = self._create(connection, TokenKind.ACCESS, user_id, life, scope=scope, sign_in=key_id)
        return Issued(secret, ACCESS_SECONDS, scope)

    def create_plain(self, user_id: str, scopes: Collection[str], days: int, label: str = "") -> tuple[Credential, str]:
        """Make a token that is valid for a number of days; return it with its secret, which is not stored."""
        if not 1 <= days <= MAX_PLAIN_DAYS:
            raise InvalidArgument(f"A token lasts 1 to {MAX_PLAIN_DAYS:,} days, not {days:,}.")
        fields = {"scope": " ".join(scopes), "sign_in": random_id(), "label": checked_label(label)}
        with self._store.database.writing() as connection:
            made = self._create(connection, TokenKind.PLAIN, user_id, timedelta(days=days), **fields)
            audit.record(connection, "CreateToken", f"tokens/{made[0].id}", actor=user_id, days=days)
            return made

    def all(self) -> list[Credential]:
        """Return the plain and refresh tokens that can be used."""
        with self._store.database.reading() as connection:
            return rows.list_tokens(connection, self._store.clock())

    def find(self, secret: str) -> Credential | None:
        """Return the valid token of any kind with this secret."""
        return self._find(secret, TokenKind.ACCESS, TokenKind.PLAIN, TokenKind.REFRESH)

    def revoke(self, token: Credential) -> None:
        """Revoke a token; for a refresh token, also everything that its sign-in granted (RFC 7009, section 2.1)."""
        is_sign_in = token.kind is TokenKind.REFRESH
        with self._store.database.writing() as connection:
            which = {"sign_in": token.sign_in} if is_sign_in else {"id": token.id}
            rows.revoke_tokens(connection, self._store.clock(), **which)

    def revoke_by_id(self, token_id: str) -> None:
        """Revoke a token with everything that its sign-in granted; raises NotFound."""
        with self._store.database.writing() as connection:
            sign_in = rows.sign_in_of(connection, token_id)
            if sign_in is None:
                raise NotFound(f"There is no token {token_id}. `tunery keys list` lists all tokens.")
            rows.revoke_tokens(connection, self._store.clock(), sign_in=sign_in)
            audit.record(connection, "DeleteToken", f"tokens/{token_id}")

    def revoke_sign_in(self, sign_in: str) -> None:
        """Revoke all tokens that follow from one sign-in."""
        with self._store.database.writing() as connection:
            rows.revoke_tokens(connection, self._store.clock(), sign_in=sign_in)

    def _issue(self, connection: Connection, grant: Grant, *, has_refresh_token: bool = True) -> Issued:
        client, scope = grant.client, grant.access_scope or grant.scope
        shared = {"client_id": client.id, "sign_in": grant.sign_in}
        life, refresh_token = timedelta(seconds=client.access_seconds), None
        _, access_token = self._create(connection, TokenKind.ACCESS, grant.user_id, life, scope=scope, **shared)
        if has_refresh_token and "refresh_token" in client.grant_types:
            life = grant.expire_time - self._store.clock() if grant.expire_time else timedelta(days=REFRESH_DAYS)
            made = self._create(connection, TokenKind.REFRESH, grant.user_id, life, scope=grant.scope, **shared)
            refresh_token = made[1]
        return Issued(access_token, client.access_seconds, scope, refresh_token)


class Keys(Credentials):
    """API keys and key files."""

    def __init__(self, store: Store, users: Users) -> None:
        super().__init__(store)
        self._users = users
        self._wrong_keys = Rate(WRONG_KEYS, 60, store.stopwatch)

    def create(self, label: str = "", user_id: str | None = None) -> tuple[Credential, str]:
        """Make an API key; return it with its secret, which is not stored."""
        owner = None if user_id is None else self._users.get(user_id).id
        with self._store.database.writing() as connection:
            made = self._create(connection, TokenKind.KEY, owner, None, label=checked_label(label))
            audit.record(connection, "CreateKey", f"keys/{made[0].id}", user=owner)
            return made

    def add_key_file(self, address: str, public_key: str, user_id: str, label: str = "") -> Credential:
        """
        Add the public half (PEM, RSA of at least 3072 bits) of a key file that acts as a user.

        Several key files may have one address if they act as one user. Raises InvalidArgument, NotFound.
        """
        user, normal = self._users.get(user_id), normal_address(address)
        if any(key.address == normal and key.user_id != user.id for key in self.all()):
            raise InvalidArgument(f"{normal} already acts as another user. Choose another address.")
        pem, now = normal_public_key(public_key), self._store.clock()
        key = Credential(
            TokenKind.KEY, random_id(), user.id, now, label=checked_label(label), address=normal, public_key=pem
        )
        with self._store.database.writing() as connection:
            rows.add_credential(connection, key)
            audit.record(connection, "CreateKey", f"keys/{key.id}", user=user.id, address=normal)
        return key

    def all(self) -> list[Credential]:
        """Return the API keys and key files that were not revoked."""
        with self._store.database.reading() as connection:
            return rows.list_keys(connection, self._store.clock())

    def check(self, secret: str) -> Credential:
        """
        Return the API key with this secret; raises InvalidArgument, or ResourceExhausted after too many wrong keys.
        """
        key = self._find(secret, TokenKind.KEY)
        if key is None:
            with self._wrong_keys.attempt("all callers"):
                raise InvalidArgument("API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID")
        self._note_use(key)
        return key

    def check_signed(
        self, token: str, audiences: Collection[str], *, is_exchanged: bool
    ) -> tuple[Credential, tuple[str, ...]]:
        """Return the key file that signed a token, and the scopes the token asks for; raises Unauthenticated."""
        key_id, now = key_id_of(token), self._store.clock()
        if key_id is None:
            raise Unauthenticated
        with self._store.database.reading() as connection:
            key = rows.find_key_file(connection, key_id, now)
        if key is None or key.public_key is None:
            raise Unauthenticated
        claims = _verified_claims(token, key.public_key)
        scopes = _checked_claims(claims, str(key.address), audiences, now, is_exchanged=is_exchanged)
        self._note_use(key)
        return key, scopes

    def revoke(self, key_id: str) -> None:
        """Revoke an API key or a key file, with the tokens it was exchanged for; raises NotFound."""
        now = self._store.clock()
        with self._store.database.writing() as connection:
            rows.revoke_tokens(connection, now, sign_in=key_id)
            if not rows.revoke_key(connection, key_id, now):
                raise NotFound(f"There is no key {key_id}. `tunery keys list` lists all keys.")
            audit.record(connection, "DeleteKey", f"keys/{key_id}")


class Sessions(Credentials):
    """Signed-in browsers, and the links that sign a browser in."""

    def start(self, user_id: str) -> str:
        """Sign a browser in as a user and return the secret for its cookie."""
        life, now = timedelta(days=SESSION_DAYS), self._store.clock()
        with self._store.database.writing() as connection:
            audit.record(connection, "SignIn", f"users/{user_id}", actor=user_id, client="browser")
            return self._create(connection, TokenKind.SESSION, user_id, life, last_use_time=now)[1]

    def find(self, secret: str) -> Credential | None:
        """Return the session with this secret and note the use; None if it has ended."""
        session = self._find(secret, TokenKind.SESSION, idle_days=SESSION_IDLE_DAYS)
        if session is not None:
            self._note_use(session)
        return session

    def end(self, secret: str) -> None:
        """Sign a browser out."""
        with self._store.database.writing() as connection:
            rows.revoke_sessions(connection, self._store.clock(), sha256=digest(secret))

    def new_setup_link(self, user_id: str = LOCAL_USER) -> str:
        """Return the secret of a link that signs a user in once, within 15 minutes; an earlier link ends."""
        secret = new_secret(TokenKind.SETUP)
        expire_time = self._store.clock() + timedelta(minutes=SETUP_LINK_MINUTES)
        with self._store.database.writing() as connection:
            rows.add_setup_link(connection, digest(secret), user_id, expire_time)
            audit.record(connection, "CreateSetupLink", f"users/{user_id}")
        return secret

    def user_of_setup_link(self, secret: str) -> str:
        """Return the user of a set-up link, which remains valid; raises Unauthenticated."""
        user_id = None
        if kind_of(secret) is TokenKind.SETUP:
            with self._store.database.reading() as connection:
                user_id = rows.find_setup_link(connection, digest(secret), self._store.clock())
        return user_id or _bad_link()

    def use_setup_link(self, secret: str) -> str:
        """Return the user of a set-up link and end the link; raises Unauthenticated."""
        user_id = None
        if kind_of(secret) is TokenKind.SETUP:
            with self._store.database.writing() as connection:
                user_id = rows.use_setup_link(connection, digest(secret), self._store.clock())
        return user_id or _bad_link()


def _bad_link() -> NoReturn:
    raise Unauthenticated("This link has already been used or is older than 15 minutes.")


def checked_label(label: str) -> str:
    """Return a label without surrounding spaces; raises InvalidArgument if it is too long or not printable."""
    stripped = label.strip()
    if len(stripped) > 100 or not stripped.isprintable():
        raise InvalidArgument("A label may have up to 100 characters, on one line.")
    return stripped


def key_id_of(token: str) -> str | None:
    """Return the `kid` of a token in the format and algorithm of key files, None for any other text."""
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


def normal_public_key(pem: str) -> str:
    """Return an RSA public key in PEM; raises InvalidArgument for a short key, a private key or any other text."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        raise InvalidArgument("The public key is not in PEM format.") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
        raise InvalidArgument(f"The public key must be an RSA key of at least {MIN_KEY_BITS} bits.")
    encoded = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def _verified_claims(token: str, public_key: str) -> dict[str, Any]:
    """Return the claims of a token signed with the private half of a key; raises Unauthenticated."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import RSAKey

    try:
        return jwt.decode(token, RSAKey.import_key(public_key), algorithms=[_ALGORITHM]).claims
    except (JoseError, ValueError, OverflowError, RecursionError):
        raise Unauthenticated from None


def _checked_claims(
    claims: dict[str, Any], address: str, audiences: Collection[str], now: datetime, *, is_exchanged: bool
) -> tuple[str, ...]:
    """
    Return the scopes that a token asks for, none if it names none; raises Unauthenticated unless its claims hold.

    A bearer token that names scopes may omit the audience, as libraries do. A token meant for exchange (`is_exchanged`)
    must have an audience, and may omit the subject.
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


def _is_for_us(audience: object, audiences: Collection[str], *, may_be_missing: bool) -> bool:
    return may_be_missing if audience is None else isinstance(audience, str) and audience in audiences


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a time in seconds; sums of larger numbers overflow, and no real time is that large."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_SECONDS
