"""
Tokens: made, checked, exchanged and revoked.

An access token opens the API for an hour, a plain one as long as its user chose, a refresh token only the token
endpoint. Knows tokens and their clients; nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tunery.errors import InvalidArgument, NotFound
from tunery.service.accounts.keys import checked_label
from tunery.service.accounts.opaque import Prefix, digest, is_well_formed, new_secret
from tunery.service.accounts.store import Store, new_id
from tunery.service.accounts.values import Client, Token, TokenKind
from tunery.service.database import oauth, tokens

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
            token = tokens.find_valid(connection, digest(secret), now)
        if token is not None and self._store.is_worth_noting(token.last_use_time):
            with self._store.database.writing() as connection:
                tokens.note_use(connection, token.id, now)
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
            token = tokens.find_valid(connection, digest(secret), now)
            spent = tokens.find(connection, digest(secret)) if token is None else None
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
            if not oauth.use_code(connection, code_sha256, now):
                tokens.revoke_family(connection, grant.family, now)
                return None
            issued, made = self._made(grant, now)
            for token, secret in made:
                tokens.add(connection, token, digest(secret))
        return issued

    def redeem_device_code(self, grant: Grant, code_sha256: str) -> Issued | None:
        """Give tokens for a device code that was approved; None if it was used already."""
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if not oauth.use_device_code(connection, code_sha256, now):
                return None
            issued, made = self._made(grant, now)
            for token, secret in made:
                tokens.add(connection, token, digest(secret))
        return issued

    def renew(self, grant: Grant, refresh_token: Token) -> Issued | None:
        """
        Give an access token for a refresh token; a public client gets a new refresh token with it.

        A confidential client keeps its own: google-auth does not write a new one down, and would lose it with its
        process. None if somebody else was faster with this token; then the sign-in ends.
        """
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if grant.client.is_public and not tokens.replace(connection, refresh_token.id, now):
                tokens.revoke_family(connection, grant.family, now)
                return None
            tokens.note_use(connection, refresh_token.id, now)
            issued, made = self._made(grant, now, has_refresh_token=grant.client.is_public)
            for token, secret in made:
                tokens.add(connection, token, digest(secret))
        return issued

    def create_login(self, client: Client, user_id: str, scopes: Collection[str], days: int) -> Issued:
        """Sign a client in for a user without a browser; the caller has checked who asks."""
        grant = Grant(client, user_id, " ".join(scopes), new_id(), self._store.clock() + timedelta(days=days))
        issued, made = self._made(grant, self._store.clock())
        with self._store.database.writing() as connection:
            oauth.add_client(connection, client)
            for token, secret in made:
                tokens.add(connection, token, digest(secret))
        return issued

    def create_access(self, user_id: str, scope: str, family: str) -> Issued:
        """Give an access token to who proved himself in another way; `family` is the id of the key he did it with."""
        life = timedelta(seconds=ACCESS_SECONDS)
        token, secret = _new_token(TokenKind.ACCESS, None, user_id, scope, family, self._store.clock(), life)
        with self._store.database.writing() as connection:
            tokens.add(connection, token, digest(secret))
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
            tokens.add(connection, token, digest(secret))
        return token, secret

    def all(self) -> list[Token]:
        """Return what signs users in for long: plain and refresh tokens that can be used."""
        with self._store.database.reading() as connection:
            return tokens.listed(connection, self._store.clock())

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret if it is good, of whatever kind."""
        if not is_well_formed(secret, Prefix.ACCESS, Prefix.PLAIN, Prefix.REFRESH):
            return None
        with self._store.database.reading() as connection:
            return tokens.find_valid(connection, digest(secret), self._store.clock())

    def revoke(self, token: Token) -> None:
        """Revoke a token; a refresh token takes with it all that its sign-in gave (RFC 7009, section 2.1)."""
        with self._store.database.writing() as connection:
            if token.kind is TokenKind.REFRESH:
                tokens.revoke_family(connection, token.family, self._store.clock())
            else:
                tokens.revoke_one(connection, token.id, self._store.clock())

    def revoke_by_id(self, token_id: str) -> None:
        """Revoke a token and all of its sign-in; raises NotFound."""
        with self._store.database.writing() as connection:
            family = tokens.family_of(connection, token_id)
            if family is None:
                raise NotFound(f"There is no token {token_id}.")
            tokens.revoke_family(connection, family, self._store.clock())

    def revoke_family(self, family: str) -> None:
        """End a sign-in: revoke all tokens that follow from it."""
        with self._store.database.writing() as connection:
            tokens.revoke_family(connection, family, self._store.clock())

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
