"""
Tokens: made, checked, exchanged and revoked.

An access token opens the API for an hour, a plain one as long as its user chose, a refresh token only the token
endpoint. Knows tokens and their clients; nothing of HTTP.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from tunery.errors import InvalidArgument, NotFound, ResourceExhausted, Unauthenticated
from tunery.service.account_values import ApiKey, Client, ServiceAccountKey, Token, TokenKind
from tunery.service.accounts.secrets import Prefix, Rate, Store, digest, is_well_formed, new_id, new_secret
from tunery.service.accounts.users import Users, normal_address
from tunery.service.database import accounts

ACCESS_SECONDS = 3600
REFRESH_DAYS = 90  # of a sign-in as a whole, however often it was renewed
IDLE_DAYS = 30
MAX_PLAIN_DAYS = 3650

_PREFIX = {TokenKind.ACCESS: Prefix.ACCESS, TokenKind.REFRESH: Prefix.REFRESH, TokenKind.PLAIN: Prefix.PLAIN}


@dataclass(frozen=True, slots=True)
class Issued:
    """What a sign-in or a renewal gives out: the only place where the secrets are."""

    access_token: str
    expires_in: int  # seconds
    scope: str
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Whom tokens are for: a client that acts for a user within scopes."""

    client: Client
    user_id: str
    scope: str
    family: str
    expire_time: datetime | None = None  # of the refresh token; None for the whole life of a new sign-in
    access_scope: str | None = None  # of the access token, if it is to have less than the sign-in


class Tokens:
    """The tokens of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check_bearer(self, secret: str) -> Token | None:
        """Return the token that opens the API with this secret; None if it does not, or not any more."""
        if not is_well_formed(secret, Prefix.ACCESS, Prefix.PLAIN):
            return None
        now = self._store.clock()
        with self._store.database.reading() as connection:
            token = accounts.find_valid_token(connection, digest(secret), now)
        if token is not None and self._store.is_worth_noting(token.last_use_time):
            with self._store.database.writing() as connection:
                accounts.note_token_use(connection, token.id, now)
        return token

    def check_refresh(self, secret: str, client: Client) -> Token | None:
        """
        Return the refresh token of a client with this secret, None if it is not good any more.

        One that was exchanged before has been stolen, from its user or by him: the whole sign-in ends (RFC 9700, 4.14).
        """
        if not is_well_formed(secret, Prefix.REFRESH):
            return None
        now = self._store.clock()
        with self._store.database.reading() as connection:
            token = accounts.find_valid_token(connection, digest(secret), now)
            spent = accounts.find_token(connection, digest(secret)) if token is None else None
        if spent is not None and spent.client_id == client.id and spent.replace_time is not None:
            self.revoke_family(spent.family)
        if token is None or token.client_id != client.id:
            return None
        last_use = token.last_use_time or token.create_time
        return token if now - last_use < timedelta(days=IDLE_DAYS) else None

    def redeem_code(self, grant: Grant, code_sha256: str) -> Issued | None:
        """Give tokens for an authorization code; None, and the end of what it gave before, if it was used already."""
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if not accounts.use_code(connection, code_sha256, now):
                accounts.revoke_token_family(connection, grant.family, now)
                return None
            issued, made = self._made(grant, now)
            for token, secret in made:
                accounts.add_token(connection, token, digest(secret))
        return issued

    def redeem_device_code(self, grant: Grant, code_sha256: str) -> Issued | None:
        """Give tokens for a device code that was approved; None if it was used already."""
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if not accounts.use_device_code(connection, code_sha256, now):
                return None
            issued, made = self._made(grant, now)
            for token, secret in made:
                accounts.add_token(connection, token, digest(secret))
        return issued

    def renew(self, grant: Grant, refresh_token: Token) -> Issued | None:
        """
        Give an access token for a refresh token; a public client gets a new refresh token with it.

        A confidential client keeps its own: google-auth does not write a new one down, and would lose it with its
        process. None if somebody else was faster with this token; then the sign-in ends.
        """
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if grant.client.is_public and not accounts.replace_token(connection, refresh_token.id, now):
                accounts.revoke_token_family(connection, grant.family, now)
                return None
            accounts.note_token_use(connection, refresh_token.id, now)
            issued, made = self._made(grant, now, has_refresh_token=grant.client.is_public)
            for token, secret in made:
                accounts.add_token(connection, token, digest(secret))
        return issued

    def create_login(self, client: Client, user_id: str, scopes: Collection[str], days: int) -> Issued:
        """Sign a client in for a user without a browser; the caller has checked who asks."""
        grant = Grant(client, user_id, " ".join(scopes), new_id(), self._store.clock() + timedelta(days=days))
        issued, made = self._made(grant, self._store.clock())
        with self._store.database.writing() as connection:
            accounts.add_client(connection, client)
            for token, secret in made:
                accounts.add_token(connection, token, digest(secret))
        return issued

    def create_access(self, user_id: str, scope: str, family: str) -> Issued:
        """Give an access token to who proved himself in another way; `family` is the id of the key he did it with."""
        life = timedelta(seconds=ACCESS_SECONDS)
        token, secret = _new_token(TokenKind.ACCESS, None, user_id, scope, family, self._store.clock(), life)
        with self._store.database.writing() as connection:
            accounts.add_token(connection, token, digest(secret))
        return Issued(secret, ACCESS_SECONDS, scope)

    def create_plain(self, user_id: str, scopes: Collection[str], days: int, label: str = "") -> tuple[Token, str]:
        """Make a token that lives for so many days; return it with its secret, which cannot be had again."""
        if not 1 <= days <= MAX_PLAIN_DAYS:
            raise InvalidArgument(f"A token lives 1 to {MAX_PLAIN_DAYS:,} days, not {days:,}.")
        now = self._store.clock()
        token, secret = _new_token(
            TokenKind.PLAIN, None, user_id, " ".join(scopes), new_id(), now, timedelta(days=days)
        )
        token = replace(token, label=checked_label(label))
        with self._store.database.writing() as connection:
            accounts.add_token(connection, token, digest(secret))
        return token, secret

    def all(self) -> list[Token]:
        """Return what signs users in for long: plain and refresh tokens that can be used."""
        with self._store.database.reading() as connection:
            return accounts.list_tokens(connection, self._store.clock())

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret if it is good, of whatever kind."""
        if not is_well_formed(secret, Prefix.ACCESS, Prefix.PLAIN, Prefix.REFRESH):
            return None
        with self._store.database.reading() as connection:
            return accounts.find_valid_token(connection, digest(secret), self._store.clock())

    def revoke(self, token: Token) -> None:
        """Revoke a token; a refresh token takes with it all that its sign-in gave (RFC 7009, section 2.1)."""
        with self._store.database.writing() as connection:
            if token.kind is TokenKind.REFRESH:
                accounts.revoke_token_family(connection, token.family, self._store.clock())
            else:
                accounts.revoke_token(connection, token.id, self._store.clock())

    def revoke_by_id(self, token_id: str) -> None:
        """Revoke a token and all of its sign-in; raises NotFound."""
        with self._store.database.writing() as connection:
            family = accounts.token_family(connection, token_id)
            if family is None:
                raise NotFound(f"There is no token {token_id}.")
            accounts.revoke_token_family(connection, family, self._store.clock())

    def revoke_family(self, family: str) -> None:
        """End a sign-in: revoke all tokens that follow from it."""
        with self._store.database.writing() as connection:
            accounts.revoke_token_family(connection, family, self._store.clock())

    @staticmethod
    def _made(grant: Grant, now: datetime, *, has_refresh_token: bool = True) -> tuple[Issued, list[tuple[Token, str]]]:
        """Return the tokens of a grant: what the client gets, and what is to be written down."""
        client, seconds = grant.client, grant.client.access_seconds
        scope = grant.access_scope or grant.scope
        life = timedelta(seconds=seconds)
        made = [_new_token(TokenKind.ACCESS, client.id, grant.user_id, scope, grant.family, now, life)]
        if has_refresh_token and "refresh_token" in client.grant_types:
            life = (grant.expire_time - now) if grant.expire_time else timedelta(days=REFRESH_DAYS)
            made.append(_new_token(TokenKind.REFRESH, client.id, grant.user_id, grant.scope, grant.family, now, life))
        refresh_token = made[1][1] if len(made) > 1 else None
        return Issued(made[0][1], seconds, scope, refresh_token), made


def _new_token(
    kind: TokenKind, client_id: str | None, user_id: str, scope: str, family: str, now: datetime, life: timedelta
) -> tuple[Token, str]:
    token = Token(new_id(), kind, family, client_id, user_id, scope, "", now, now + life)
    return token, new_secret(_PREFIX[kind])


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


WRONG_KEYS = 60  # in a minute, of all callers together; good keys go on working meanwhile


class Keys:
    """The API keys and key files of one data folder."""

    def __init__(self, store: Store, users: Users) -> None:
        self._store, self._users = store, users
        self._wrong_keys = Rate(WRONG_KEYS, 60, store.stopwatch)

    def create(self, label: str = "", user_id: str | None = None) -> tuple[ApiKey, str]:
        """Make an API key; return it with its secret, which cannot be had again."""
        owner = None if user_id is None else self._users.get(user_id).id
        secret = new_secret(Prefix.KEY)
        key = ApiKey(new_id(), checked_label(label), owner, self._store.clock())
        with self._store.database.writing() as connection:
            accounts.add_api_key(connection, key, digest(secret))
        return key, secret

    def all(self) -> list[ApiKey]:
        """Return the API keys that can be used."""
        with self._store.database.reading() as connection:
            return accounts.list_api_keys(connection)

    def check(self, secret: str) -> ApiKey:
        """Return the API key with this secret; raises InvalidArgument, or ResourceExhausted while many guess."""
        key = None
        if is_well_formed(secret, Prefix.KEY):
            with self._store.database.reading() as connection:
                key = accounts.find_api_key(connection, digest(secret))
        if key is None:
            raise self._refusal()
        self._note_use(key)
        return key

    def add_service_account(self, address: str, public_key: str, user_id: str, label: str = "") -> ServiceAccountKey:
        """
        Take in the public half (PEM, RSA of at least 2048 bits) of a key file that acts as a user.

        Several keys may have one address if they act as one user. Raises InvalidArgument, NotFound.
        """
        user, known = self._users.get(user_id), normal_address(address)
        if any(key.address == known and key.user_id != user.id for key in self.service_accounts()):
            raise InvalidArgument(f"{known} acts as another user already. Choose another address.")
        pem = normal_public_key(public_key)
        key = ServiceAccountKey(new_id(), known, pem, checked_label(label), user.id, self._store.clock())
        with self._store.database.writing() as connection:
            accounts.add_service_account_key(connection, key)
        return key

    def service_accounts(self) -> list[ServiceAccountKey]:
        """Return the keys of key files that can be used."""
        with self._store.database.reading() as connection:
            return accounts.list_service_account_keys(connection)

    def service_account(self, key_id: str) -> ServiceAccountKey | None:
        """Return the key of a key file by its id, None if it cannot be used."""
        with self._store.database.reading() as connection:
            return accounts.find_service_account_key(connection, key_id)

    def note_service_account_use(self, key: ServiceAccountKey) -> None:
        """Write down that a key file was used."""
        self._note_use(key)

    def revoke(self, key_id: str) -> None:
        """Revoke an API key or a key file, with the tokens it was exchanged for; raises NotFound."""
        now = self._store.clock()
        with self._store.database.writing() as connection:
            accounts.revoke_token_family(connection, key_id, now)
            if not accounts.revoke_key(connection, key_id, now):
                raise NotFound(f"There is no key {key_id}. `tunery keys list` shows them.")

    def _note_use(self, key: ApiKey | ServiceAccountKey) -> None:
        if self._store.is_worth_noting(key.last_use_time):
            with self._store.database.writing() as connection:
                accounts.note_key_use(connection, key, self._store.clock())

    def _refusal(self) -> InvalidArgument | ResourceExhausted:
        refusal = InvalidArgument("API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID")
        try:
            with self._wrong_keys.attempt("all callers"):
                raise refusal
        except (InvalidArgument, ResourceExhausted) as error:
            return error


def checked_label(label: str) -> str:
    """Return a label without blanks around it; raises InvalidArgument if it is long or cannot be printed."""
    stripped = label.strip()
    if len(stripped) > 100 or not (stripped.isprintable()):
        raise InvalidArgument("A label is up to 100 characters on one line.")
    return stripped
