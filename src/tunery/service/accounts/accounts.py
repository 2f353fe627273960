"""
The accounts of a data folder, and the caller behind the token, key or cookie of a call.

    accounts = Accounts(library.database, library.folder)
    caller = accounts.caller_of_token(token)
"""

from __future__ import annotations

import contextlib
import hmac
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tunery.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated
from tunery.service.access import CLOUD_PLATFORM, TUNING, TUNING_READONLY
from tunery.service.accounts.credentials import (
    ACCESS_SECONDS,
    GOOGLE_AUDIENCE,
    REFRESH_DAYS,
    Keys,
    Sessions,
    Tokens,
)
from tunery.service.accounts.oauth import COMMAND_LINE, Clients, Codes
from tunery.service.accounts.users import Store, Users
from tunery.service.accounts.values import TokenKind, digest, kind_of, new_secret
from tunery.service.database import accounts as rows
from tunery.service.database import audit
from tunery.service.database.connection import Database
from tunery.service.folder import DataFolder
from tunery.service.tuning import LOCAL_USER
from tunery.types import Caller

ADMINISTRATION_MINUTES = 60  # the time after signing in during which a browser may manage users and keys

KEPT_DAYS = 1  # how long expired rows are kept, so that the second use of a token still ends its sign-in

_REFUSED = "Request had invalid authentication credentials. Expected an access token that is known and not expired."


@dataclass(frozen=True, slots=True)
class Login:
    """The content of a credentials file."""

    client_id: str
    client_secret: str
    refresh_token: str


class Accounts:
    """
    The accounts of one data folder; needs the owner's writable database.

    `address` is the public address of the server, also an audience for key files. With `keys_act_as_users`, an API key
    that belongs to a user acts as that user, as in the last months of the original; off by default. Without
    `keys_in_urls`, keys are accepted in headers only, because URLs end up in logs and histories.
    """

    def __init__(
        self,
        database: Database,
        folder: DataFolder,
        *,
        address: str = "",
        keys_act_as_users: bool = False,
        keys_in_urls: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = Store(database, clock, stopwatch)
        self.local_token = LocalToken(folder)
        self._keys_act_as_users = keys_act_as_users
        self.keys_in_urls = keys_in_urls
        base = address.rstrip("/")
        self._audiences = frozenset({GOOGLE_AUDIENCE} | ({base, f"{base}/"} if base else set()))
        self.access_seconds = ACCESS_SECONDS  # lifetime of a login's access tokens; shorter in tests
        self.users = Users(self._store)
        self.keys = Keys(self._store, self.users)
        self.tokens = Tokens(self._store)
        self.sessions = Sessions(self._store)
        self.clients = Clients(self._store)
        self.codes = Codes(self._store)

    def tidy(self) -> None:
        """Delete rows that expired more than a day ago; call this when the server starts and once a day."""
        with self._store.database.writing() as connection:
            now = self._store.clock()
            rows.delete_ended(connection, now - timedelta(days=KEPT_DAYS))
            audit.delete_before(connection, now - timedelta(days=audit.KEPT_DAYS))

    def require_ready_for_network(self, *, is_encrypted: bool) -> None:
        """
        Raise FailedPrecondition unless the server may listen to other machines.

        That requires a password for the owner, and TLS in a proxy.
        """
        users = [user for user in self.users.all() if user.has_password]
        if not any(user.id == LOCAL_USER or (user.is_admin and not user.is_disabled) for user in users):
            raise FailedPrecondition(
                "The server accepts connections only from this machine until its owner has a password. "
                "Run `tunery users password local`, or keep --host 127.0.0.1."
            )
        if not is_encrypted:
            raise FailedPrecondition(
                "Other machines would send their tokens unencrypted. Put a TLS proxy in front of the server and add "
                "--behind-tls-proxy, or keep --host 127.0.0.1."
            )

    def caller_of_token(self, token: str) -> Caller:
        """Return the user of a bearer token with its scopes; raises Unauthenticated."""
        if self.local_token.matches(token):
            return self._caller(LOCAL_USER, (CLOUD_PLATFORM,))
        if token.count(".") == 2:
            return self.caller_of_jwt(token)
        found = self.tokens.check_bearer(token)
        if found is None:
            raise Unauthenticated(_REFUSED)
        return self._caller(found.user_id, found.scope.split())

    def caller_of_key(self, key: str) -> Caller:
        """Return the anonymous caller of a valid API key; raises InvalidArgument with reason API_KEY_INVALID."""
        found = self.keys.check(key)
        if not self._keys_act_as_users or found.user_id is None:
            return Caller(has_key=True, key_id=found.id)
        caller = self._caller(found.user_id, (TUNING,))
        return Caller(caller.user_id, caller.scopes, caller.groups, has_key=True, key_id=found.id)

    def caller_of_session(self, secret: str) -> Caller:
        """Return the user of a browser that is signed in, with the scope for tuning; raises Unauthenticated."""
        session = self.sessions.find(secret)
        if session is None:
            raise Unauthenticated("You are signed out. Sign in again.")
        return self._caller(session.user_id, (TUNING,))

    def has_just_signed_in(self, secret: str) -> bool:
        """Return whether a browser signed in less than ADMINISTRATION_MINUTES ago."""
        session = self.sessions.find(secret)
        life = timedelta(minutes=ADMINISTRATION_MINUTES)
        return session is not None and self._store.clock() - session.create_time < life

    def caller_of_jwt(self, token: str, audiences: Collection[str] | None = None) -> Caller:
        """
        Return the user whose key file signed a token, with the scope for tuning; raises Unauthenticated.

        With `audiences`, the token is meant for exchange at the token endpoint and must name one of them.
        """
        accepted = self._audiences if audiences is None else audiences
        key, scopes = self.keys.check_signed(token, accepted, is_exchanged=audiences is not None)
        return self._caller(key.user_id, (TUNING_READONLY if set(scopes) == {TUNING_READONLY} else TUNING,))

    def create_login(self, user_id: str, scopes: Sequence[str], days: int = REFRESH_DAYS, name: str = "") -> Login:
        """Make a login with its own client, renewable for a number of days (1 to 90)."""
        if not 1 <= days <= REFRESH_DAYS:
            raise InvalidArgument(f"A login lasts 1 to {REFRESH_DAYS} days, not {days:,}.")
        client, secret = self.clients.for_login(name or "tunery login", user_id, self.access_seconds)
        issued = self.tokens.create_login(client, user_id, scopes, days)
        assert issued.refresh_token is not None
        return Login(client.id, secret, issued.refresh_token)

    def spend(self, token: str) -> None:
        """
        Use up the token with which a login or plain token is made: the local token, or one from `tunery login`.

        Raises PermissionDenied for any other token; otherwise a token for an hour could create one for years.
        """
        if self.local_token.matches(token):
            return
        found = self.tokens.find(token)
        if found is None or found.client_id != COMMAND_LINE:
            raise PermissionDenied("Only `tunery login` creates logins and tokens. Sign in with it.")
        self.tokens.revoke(found)

    def _caller(self, user_id: str | None, scopes: Sequence[str]) -> Caller:
        assert user_id is not None, "only API keys have no user"
        with self._store.database.reading() as connection:
            user = rows.get_user(connection, user_id)
            groups = rows.groups_of(connection, user_id)
        if user is None or user.is_disabled:
            raise Unauthenticated(_REFUSED)
        return Caller(user.id, frozenset(scopes), groups, is_admin=user.is_admin)


class LocalToken:
    """The token in the data folder that gives commands on this machine access while the server is running."""

    def __init__(self, folder: DataFolder) -> None:
        self._path = folder.local_token
        self._sha256: str | None = None

    def start(self) -> None:
        """Write a new token, readable by its user only."""
        token = new_secret(TokenKind.LOCAL)
        new = self._path.with_suffix(f".{os.getpid()}")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
        new.replace(self._path)
        self._sha256 = digest(token)

    def matches(self, token: str) -> bool:
        """Return whether this is the token."""
        if self._sha256 is None or kind_of(token) is not TokenKind.LOCAL:
            return False
        return hmac.compare_digest(self._sha256, digest(token))

    def stop(self) -> None:
        """Withdraw the token."""
        self._sha256 = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
