"""
Programs that sign users in: the built-in one of the command line, those of logins, and those an administrator adds.

Also where the authorization server may send a browser back to. Knows clients; nothing of HTTP.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import timedelta

from tunery.errors import InvalidArgument, NotFound
from tunery.service.account_values import AuthorizationCode, Client, DeviceCode
from tunery.service.accounts.credentials import ACCESS_SECONDS, REFRESH_DAYS, checked_label
from tunery.service.accounts.secrets import Prefix, Rate, Store, digest, is_well_formed, new_id, new_secret
from tunery.service.database import accounts

COMMAND_LINE = "tunery-cli"  # `tunery login`, a public client that everybody has
CODE, REFRESH = "authorization_code", "refresh_token"
KEY_FILE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"

# http on this machine, any port, no user-info, no query: a browser and we must read an address in the same way
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(?::([1-9][0-9]{0,4}))?(/[A-Za-z0-9._~/-]*)?")
_HTTPS = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~/-]*")
_DESKTOP_REDIRECTS = ("http://localhost/", "http://127.0.0.1/", "http://[::1]/")


class Clients:
    """The clients of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, client_id: str) -> Client | None:
        """Return a client, None if there is none or it was revoked."""
        if client_id == COMMAND_LINE:
            return self._command_line()
        with self._store.database.reading() as connection:
            return accounts.get_client(connection, client_id)

    def all(self) -> list[Client]:
        """Return the clients that were not revoked, without the built-in one."""
        with self._store.database.reading() as connection:
            return [client for client in accounts.list_clients(connection) if client.id != COMMAND_LINE]

    def add(self, name: str, redirect_uris: Sequence[str], *, is_public: bool = False) -> tuple[Client, str | None]:
        """
        Add a client that sends users to our sign-in; return it with its secret, if it has one.

        Raises InvalidArgument for addresses that are neither https nor http on the user's machine.
        """
        for uri in redirect_uris:
            if not _LOOPBACK.fullmatch(uri) and not _HTTPS.fullmatch(uri):
                raise InvalidArgument(f"{uri!r} must begin with https://, or with http:// and a loopback name.")
        client, secret = self._new(name, (CODE, REFRESH), redirect_uris, is_public=is_public)
        with self._store.database.writing() as connection:
            accounts.add_client(connection, client)
        return client, secret

    def add_desktop(self, name: str) -> tuple[Client, str]:
        """
        Add a client for Google's desktop flow (`InstalledAppFlow`); return it with its secret.

        What guides store of it is never renewed: its access token lives as long as the sign-in.
        """
        client, secret = self._new(name, (CODE, REFRESH), _DESKTOP_REDIRECTS, access_seconds=REFRESH_DAYS * 86_400)
        assert secret is not None
        with self._store.database.writing() as connection:
            accounts.add_client(connection, client)
        return client, secret

    def for_login(self, name: str, user_id: str, access_seconds: int = ACCESS_SECONDS) -> tuple[Client, str]:
        """Return a confidential client of a single login, not written down yet, with its secret."""
        client, secret = self._new(name, (REFRESH,), (), user_id=user_id, access_seconds=access_seconds)
        assert secret is not None
        return client, secret

    def revoke(self, client_id: str) -> None:
        """Revoke a client with all its tokens; raises NotFound."""
        with self._store.database.writing() as connection:
            if not accounts.revoke_client(connection, client_id, self._store.clock()):
                raise NotFound(f"There is no client {client_id}.")

    def _new(
        self,
        name: str,
        grant_types: Sequence[str],
        redirect_uris: Sequence[str],
        *,
        is_public: bool = False,
        user_id: str | None = None,
        access_seconds: int = ACCESS_SECONDS,
    ) -> tuple[Client, str | None]:
        secret = None if is_public else new_secret(Prefix.CLIENT)
        client = Client(
            id=new_id(),
            secret_sha256=digest(secret) if secret else None,
            name=checked_label(name),
            redirect_uris=tuple(redirect_uris),
            grant_types=tuple(grant_types),
            access_seconds=access_seconds,
            user_id=user_id,
            create_time=self._store.clock(),
        )
        return client, secret

    def _command_line(self) -> Client:
        """Return the client of the command line; its row is made with the first sign-in."""
        with self._store.database.reading() as connection:
            client = accounts.get_client(connection, COMMAND_LINE)
        if client is not None:
            return client
        redirects = ("http://127.0.0.1/callback",)
        now = self._store.clock()
        client = Client(COMMAND_LINE, None, "tunery login", redirects, (CODE, DEVICE), 600, None, now)
        with self._store.database.writing() as connection:
            if accounts.get_client(connection, COMMAND_LINE) is None:
                accounts.add_client(connection, client)
        return client


def has_secret(client: Client, secret: str) -> bool:
    """Say whether this is the secret of a client."""
    if client.secret_sha256 is None or not is_well_formed(secret, Prefix.CLIENT):
        return False
    return hmac.compare_digest(client.secret_sha256, digest(secret))


def may_redirect(client: Client, uri: str) -> bool:
    """Say whether a browser may be sent there: letter by letter, on this machine with any port (RFC 8252, 7.3)."""
    if uri in client.redirect_uris:
        return True
    asked = _LOOPBACK.fullmatch(uri)
    if asked is None or int(asked[2] or 80) > 65_535:
        return False
    registered = (_LOOPBACK.fullmatch(known) for known in client.redirect_uris)
    return any(known is not None and (known[1], known[3]) == (asked[1], asked[3]) for known in registered)


CODE_SECONDS = 60
DEVICE_CODE_SECONDS = 600
POLL_SECONDS = 5  # RFC 8628, section 3.2
WRONG_USER_CODES = 5  # of one user in the life of a device code, against 20 ** 8 codes

_CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1: no words, nothing to mistake


class Codes:
    """The codes of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wrong_user_codes = Rate(WRONG_USER_CODES, DEVICE_CODE_SECONDS, store.stopwatch)

    def new_code(self, client: Client, user_id: str, redirect_uri: str, scope: str, code_challenge: str) -> str:
        """Make an authorization code and return its secret."""
        secret = new_secret(Prefix.CODE)
        expire_time = self._store.clock() + timedelta(seconds=CODE_SECONDS)
        code = AuthorizationCode(
            digest(secret), new_id(), client.id, user_id, redirect_uri, scope, code_challenge, expire_time
        )
        with self._store.database.writing() as connection:
            accounts.add_code(connection, code)
        return secret

    def find_code(self, secret: str) -> AuthorizationCode | None:
        """Return the authorization code with this secret, also a used one; None if it is unknown or too old."""
        if not is_well_formed(secret, Prefix.CODE):
            return None
        with self._store.database.reading() as connection:
            code = accounts.find_code(connection, digest(secret))
        return code if code and (code.use_time or code.expire_time > self._store.clock()) else None

    def new_device_code(self, client: Client, scope: str, device_code: str, user_code: str) -> None:
        """Write down the two codes of a device that waits."""
        expire_time = self._store.clock() + timedelta(seconds=DEVICE_CODE_SECONDS)
        code = DeviceCode(
            digest(device_code), _user_code_digest(user_code), new_id(), client.id, scope, expire_time, POLL_SECONDS
        )
        with self._store.database.writing() as connection:
            accounts.add_device_code(connection, code)

    def find_device_code(self, secret: str) -> DeviceCode | None:
        """Return the device code with this secret, whatever became of it."""
        if not is_well_formed(secret, Prefix.DEVICE):
            return None
        with self._store.database.reading() as connection:
            return accounts.find_device_code(connection, digest(secret))

    def is_expired(self, code: DeviceCode) -> bool:
        """Say whether a device code is too old."""
        return code.expire_time <= self._store.clock()

    def waiting_device(self, user_code: str, user_id: str) -> DeviceCode:
        """
        Return the device that waits for what a user typed; blanks, hyphens and case do not matter.

        Raises NotFound, and ResourceExhausted after `WRONG_USER_CODES` wrong ones.
        """
        with self._wrong_user_codes.attempt(user_id), self._store.database.reading() as connection:
            code = accounts.find_user_code(connection, _user_code_digest(user_code), self._store.clock())
            if code is None:
                raise NotFound("No sign-in waits for this code. Look at the code again, or start anew for a new one.")
        return code

    def decide(self, code: DeviceCode, user_id: str, *, is_approved: bool) -> bool:
        """Write down what a user decided about a device; False if somebody did before."""
        with self._store.database.writing() as connection:
            return accounts.decide_device_code(connection, code.sha256, user_id, is_approved=is_approved)

    def polls_too_fast(self, code: DeviceCode) -> bool:
        """Note that a device asks; True if it did not wait, which makes its wait 5 s longer (RFC 8628, section 3.5)."""
        now = self._store.clock()
        wait = timedelta(seconds=code.interval_seconds)
        is_too_fast = code.poll_time is not None and now - code.poll_time < wait
        interval = code.interval_seconds + (POLL_SECONDS if is_too_fast else 0)
        with self._store.database.writing() as connection:
            accounts.note_poll(connection, code.sha256, now, interval)
        return is_too_fast


def new_user_code() -> str:
    """Return a code to be typed, such as WDJB-MJHT."""
    letters = "".join(secrets.choice(_CONSONANTS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _user_code_digest(user_code: str) -> str:
    return digest("".join(letter for letter in user_code.upper() if letter in _CONSONANTS))
