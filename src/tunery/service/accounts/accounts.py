"""
The accounts of a data folder as one thing: its parts, and who stands behind what came with a call.

    accounts = Accounts(library.database, library.folder)
    caller = accounts.caller_of_token(token)

Knows credentials and users; what users may do with tuned models is in `service/access.py`. No HTTP.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tunery.errors import FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated
from tunery.service.access import CLOUD_PLATFORM, TUNING, TUNING_READONLY
from tunery.service.account_values import LOCAL_USER, Client, Token
from tunery.service.accounts import credentials
from tunery.service.accounts.credentials import ACCESS_SECONDS, REFRESH_DAYS, Keys, Tokens
from tunery.service.accounts.oauth import COMMAND_LINE, Clients, Codes
from tunery.service.accounts.secrets import Prefix, Store, digest, is_well_formed, new_secret
from tunery.service.accounts.users import Sessions, Users
from tunery.service.database import accounts as session_rows
from tunery.service.database import accounts as user_rows
from tunery.service.database.connection import Database
from tunery.service.folder import DataFolder
from tunery.types import Caller

KEPT_DAYS = 1  # how long what has ended stays, so that a spent token still ends its sign-in

_REFUSED = "Request had invalid authentication credentials. Expected an access token that is known and not expired."


class Accounts:
    """
    The accounts of one data folder; it needs the database that its owner writes with.

    `address` is the public address of the server, also an audience for key files. With `keys_act_as_users` an API key
    that has a user acts as that user, as keys did in the end with the original; off by default.
    """

    def __init__(
        self,
        database: Database,
        folder: DataFolder,
        *,
        address: str = "",
        keys_act_as_users: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = Store(database, clock, stopwatch)
        self._folder = folder
        self._keys_act_as_users = keys_act_as_users
        base = address.rstrip("/")
        self._audiences = frozenset({credentials.GOOGLE_AUDIENCE} | ({base, f"{base}/"} if base else set()))
        self._proof = LocalProof()
        self.users = Users(self._store)
        self.keys = Keys(self._store, self.users)
        self.tokens = Tokens(self._store)
        self.clients = Clients(self._store)
        self.codes = Codes(self._store)
        self.sessions = Sessions(self._store)
        self.logins = Logins(self.clients, self.tokens)

    def start_local_proof(self) -> None:
        """Let commands on this machine in, by a file in the data folder; to be called when the server starts."""
        self._proof.start(self._folder)

    def stop_local_proof(self) -> None:
        """Let nobody in by that file any more; to be called when the server stops."""
        self._proof.stop(self._folder)

    def tidy(self) -> None:
        """Delete what ended a while ago; to be called when the server starts and once a day."""
        with self._store.database.writing() as connection:
            session_rows.forget_ended_sessions(connection, self._store.clock() - timedelta(days=KEPT_DAYS))

    def require_ready_for_network(self, *, is_encrypted: bool) -> None:
        """
        Raise FailedPrecondition unless the server may listen to other machines.

        The owner needs a password, and the connection TLS, here or in a proxy before us.
        """
        if not self.users.get(LOCAL_USER).has_password and not any(
            user.is_admin and user.has_password and not user.is_disabled for user in self.users.all()
        ):
            raise FailedPrecondition(
                "The server listens to this machine only until its owner has a password. "
                "Run `tunery users password local` or stay with --host 127.0.0.1."
            )
        if not is_encrypted:
            raise FailedPrecondition(
                "Other machines would send their tokens in the clear. Put a TLS proxy before the server and say "
                "--behind-tls-proxy, or stay with --host 127.0.0.1."
            )

    def caller_of_token(self, token: str) -> Caller:
        """Return the user of a bearer token with its scopes; raises Unauthenticated."""
        if self.is_local_proof(token):
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
            return Caller(has_key=True)
        caller = self._caller(found.user_id, (TUNING,))
        return Caller(caller.user_id, caller.scopes, caller.groups, has_key=True)

    def caller_of_session(self, secret: str) -> Caller:
        """Return the user of a browser that is signed in, with the scope for tuning; raises Unauthenticated."""
        session = self.sessions.find(secret)
        if session is None:
            raise Unauthenticated("You are signed out. Sign in again.")
        return self._caller(session.user_id, (TUNING,))

    def is_local_proof(self, token: str) -> bool:
        """Say whether a token is the one in the file of the data folder."""
        return self._proof.matches(token)

    def caller_of_jwt(self, token: str, audiences: Collection[str] | None = None) -> Caller:
        """
        Return the user whose key file signed a token, with the scope for tuning; raises Unauthenticated.

        With `audiences` it is one that is to be exchanged at the token endpoint, and made for one of these.
        """
        key_id = credentials.key_id_of(token)
        key = None if key_id is None else self.keys.service_account(key_id)
        if key is None:
            raise Unauthenticated(_REFUSED)
        claims = credentials.claims_of(token, key.public_key)
        accepted, is_exchanged = (self._audiences, False) if audiences is None else (audiences, True)
        asked = credentials.check_claims(claims, key.address, accepted, self._store.clock(), is_exchanged=is_exchanged)
        self.keys.note_service_account_use(key)
        is_reading = bool(asked) and set(asked) <= {TUNING_READONLY}
        return self._caller(key.user_id, (TUNING_READONLY if is_reading else TUNING,))

    def _caller(self, user_id: str, scopes: tuple[str, ...] | list[str]) -> Caller:
        with self._store.database.reading() as connection:
            user = user_rows.get_user(connection, user_id)
            groups = user_rows.groups_of(connection, user_id)
        if user is None or user.is_disabled:
            raise Unauthenticated(_REFUSED)
        return Caller(user.id, frozenset(scopes), groups, is_admin=user.is_admin)


class LocalProof:
    """The proof of one running server; none until it is started."""

    def __init__(self) -> None:
        self._sha256: str | None = None

    def start(self, folder: DataFolder) -> Path:
        """Write a new token into the data folder, readable for its user only, and return the file."""
        token = new_secret(Prefix.LOCAL)
        path = folder.local_token
        new = path.with_suffix(f".{os.getpid()}")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
        new.replace(path)
        self._sha256 = digest(token)
        return path

    def matches(self, token: str) -> bool:
        """Say whether this is the token in the file."""
        if self._sha256 is None or not is_well_formed(token, Prefix.LOCAL):
            return False
        return hmac.compare_digest(self._sha256, digest(token))

    def stop(self, folder: DataFolder) -> None:
        """Take the token back."""
        self._sha256 = None
        with contextlib.suppress(OSError):
            folder.local_token.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Login:
    """What a credentials file holds."""

    client: Client
    client_secret: str
    refresh_token: str


class Logins:
    """The exchange of proofs."""

    def __init__(self, clients: Clients, tokens: Tokens) -> None:
        self._clients, self._tokens = clients, tokens
        self.access_seconds = ACCESS_SECONDS  # of logins; tests make it short

    def spend_proof(self, token: str) -> None:
        """
        Use up an access token of the command line; raises PermissionDenied for any other token.

        Otherwise a token that was meant for an hour could make itself one for years.
        """
        found = self._tokens.find(token)
        if found is None or found.client_id != COMMAND_LINE:
            raise PermissionDenied("Only `tunery login` makes logins and tokens. Sign in with it.")
        self._tokens.revoke(found)

    def create(self, user_id: str, scopes: Sequence[str], days: int = REFRESH_DAYS, name: str = "") -> Login:
        """Make a login of a client of its own, which is renewed for so many days (1 to 90)."""
        if not 1 <= days <= REFRESH_DAYS:
            raise InvalidArgument(f"A login lives 1 to {REFRESH_DAYS} days, not {days:,}.")
        client, secret = self._clients.for_login(name or "tunery login", user_id, self.access_seconds)
        issued = self._tokens.create_login(client, user_id, scopes, days)
        assert issued.refresh_token is not None
        return Login(client, secret, issued.refresh_token)

    def create_token(self, user_id: str, scopes: Sequence[str], days: int, name: str = "") -> tuple[Token, str]:
        """Make a plain token that lives so many days; return it with its secret."""
        return self._tokens.create_plain(user_id, scopes, days, name)
