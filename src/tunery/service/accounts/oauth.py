"""
OAuth clients and the codes of sign-ins.

Clients are the built-in one of the command line, one for each login, and those an administrator adds.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import timedelta

from tunery.errors import InvalidArgument, NotFound, ResourceExhausted
from tunery.service.accounts.credentials import ACCESS_SECONDS, REFRESH_DAYS, checked_label
from tunery.service.accounts.users import Rate, Store
from tunery.service.accounts.values import (
    AuthorizationCode,
    Client,
    DeviceCode,
    TokenKind,
    digest,
    kind_of,
    new_secret,
)
from tunery.service.database import accounts as rows
from tunery.service.database import audit
from tunery.service.tuning import random_id

COMMAND_LINE = "tunery-cli"  # the public client of `tunery login`
CODE, REFRESH = "authorization_code", "refresh_token"
KEY_FILE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"

CODE_SECONDS = 60
DEVICE_CODE_SECONDS = 600
POLL_SECONDS = 5  # RFC 8628, section 3.2
DEVICE_STARTS = 30  # from one address within the lifetime of a device code; nobody has shown credentials yet
MAX_WAITING_DEVICES = 300
WRONG_USER_CODES = 5  # by one user within the lifetime of a device code, out of 20 ** 8 codes

# http on this machine, any port, no user-info, no query, so that browsers and we interpret the address in the same way
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(?::([1-9][0-9]{0,4}))?(/[A-Za-z0-9._~/-]*)?")
_HTTPS = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~/-]*")
_DESKTOP_REDIRECTS = ("http://localhost/", "http://127.0.0.1/", "http://[::1]/")
_CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1: codes spell no words and no letters look alike


class Clients:
    """The clients of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, client_id: str) -> Client | None:
        """Return a client, None if there is none or it was revoked."""
        with self._store.database.reading() as connection:
            client = rows.get_client(connection, client_id)
        return self._add_command_line() if client is None and client_id == COMMAND_LINE else client

    def all(self) -> list[Client]:
        """Return the clients that were not revoked, without the built-in one."""
        with self._store.database.reading() as connection:
            return [client for client in rows.list_clients(connection) if client.id != COMMAND_LINE]

    def add(self, name: str, redirect_uris: Sequence[str], *, is_public: bool = False) -> tuple[Client, str | None]:
        """
        Add a client that sends users to our sign-in; return it with its secret, if it has one.

        Raises InvalidArgument for URLs that are neither https nor http on the user's machine.
        """
        for uri in redirect_uris:
            if not _LOOPBACK.fullmatch(uri) and not _HTTPS.fullmatch(uri):
                raise InvalidArgument(f"{uri!r} must begin with https://, or with http:// and a loopback name.")
        secret = None if is_public else new_secret(TokenKind.CLIENT)
        return self._add(self._new(name, secret, (CODE, REFRESH), redirect_uris)), secret

    def add_desktop(self, name: str) -> tuple[Client, str]:
        """
        Add a client for Google's desktop flow (`InstalledAppFlow`); return it with its secret.

        Published guides never renew the credentials they store, so its access token is valid as long as the sign-in.
        """
        secret, life = new_secret(TokenKind.CLIENT), REFRESH_DAYS * 86_400
        return self._add(self._new(name, secret, (CODE, REFRESH), _DESKTOP_REDIRECTS, access_seconds=life)), secret

    def for_login(self, name: str, user_id: str, access_seconds: int = ACCESS_SECONDS) -> tuple[Client, str]:
        """Return a confidential client of a single login, not stored yet, with its secret."""
        secret = new_secret(TokenKind.CLIENT)
        return self._new(name, secret, (REFRESH,), (), user_id=user_id, access_seconds=access_seconds), secret

    def revoke(self, client_id: str) -> None:
        """Revoke a client with all its tokens; raises NotFound."""
        with self._store.database.writing() as connection:
            if not rows.revoke_client(connection, client_id, self._store.clock()):
                raise NotFound(f"There is no client {client_id}.")
            audit.record(connection, "DeleteClient", f"clients/{client_id}")

    def _new(
        self,
        name: str,
        secret: str | None,
        grant_types: Sequence[str],
        redirect_uris: Sequence[str],
        *,
        user_id: str | None = None,
        access_seconds: int = ACCESS_SECONDS,
    ) -> Client:
        return Client(
            id=random_id(),
            secret_sha256=digest(secret) if secret else None,
            name=checked_label(name),
            redirect_uris=tuple(redirect_uris),
            grant_types=tuple(grant_types),
            access_seconds=access_seconds,
            user_id=user_id,
            create_time=self._store.clock(),
        )

    def _add(self, client: Client) -> Client:
        with self._store.database.writing() as connection:
            rows.add_client(connection, client)
            audit.record(connection, "CreateClient", f"clients/{client.id}", name=client.name)
        return client

    def _add_command_line(self) -> Client:
        """Return the client of the command line; its row is added with the first sign-in."""
        redirects = ("http://127.0.0.1/callback",)
        client = Client(COMMAND_LINE, None, "tunery login", redirects, (CODE, DEVICE), 600, None, self._store.clock())
        with self._store.database.writing() as connection:
            if rows.get_client(connection, COMMAND_LINE) is None:
                rows.add_client(connection, client)
        return client


def has_secret(client: Client, secret: str) -> bool:
    """Return whether this is the secret of a client."""
    if client.secret_sha256 is None or kind_of(secret) is not TokenKind.CLIENT:
        return False
    return hmac.compare_digest(client.secret_sha256, digest(secret))


def may_redirect(client: Client, uri: str) -> bool:
    """Return whether a client may send a browser to a URL; on this machine, any port is allowed (RFC 8252, 7.3)."""
    if uri in client.redirect_uris:
        return True
    wanted = _LOOPBACK.fullmatch(uri)
    if wanted is None or int(wanted[2] or 80) > 65_535:
        return False
    registered = (_LOOPBACK.fullmatch(known) for known in client.redirect_uris)
    return any(known is not None and (known[1], known[3]) == (wanted[1], wanted[3]) for known in registered)


class Codes:
    """The authorization codes and device codes of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wrong_user_codes = Rate(WRONG_USER_CODES, DEVICE_CODE_SECONDS, store.stopwatch)
        self._device_starts = Rate(DEVICE_STARTS, DEVICE_CODE_SECONDS, store.stopwatch, "sign-ins of devices")

    def new_code(self, client: Client, user_id: str, redirect_uri: str, scope: str, code_challenge: str) -> str:
        """Make an authorization code and return its secret."""
        secret = new_secret(TokenKind.CODE)
        expire_time = self._store.clock() + timedelta(seconds=CODE_SECONDS)
        code = AuthorizationCode(
            digest(secret), random_id(), client.id, user_id, redirect_uri, scope, code_challenge, expire_time
        )
        with self._store.database.writing() as connection:
            rows.add_code(connection, code)
        return secret

    def find_code(self, secret: str) -> AuthorizationCode | None:
        """Return the authorization code with this secret, even a used one; None if it is unknown or has expired."""
        with self._store.database.reading() as connection:
            code = rows.find_authorization_code(connection, digest(secret))
        return code if code and (code.use_time or code.expire_time > self._store.clock()) else None

    def new_device_code(self, client: Client, scope: str, device_code: str, user_code: str, address: str = "") -> None:
        """
        Store the two codes of a waiting device at an address; expired ones are deleted.

        Raises ResourceExhausted if too many devices are waiting, at this address or in all.
        """
        self._device_starts.count(address)
        expire_time = self._store.clock() + timedelta(seconds=DEVICE_CODE_SECONDS)
        code = DeviceCode(
            digest(device_code), _user_code_digest(user_code), random_id(), client.id, scope, expire_time, POLL_SECONDS
        )
        with self._store.database.writing() as connection:
            now = self._store.clock()
            rows.delete_devices(connection, now - timedelta(seconds=DEVICE_CODE_SECONDS))
            if rows.waiting_devices(connection, now) >= MAX_WAITING_DEVICES:
                raise ResourceExhausted(
                    f"{MAX_WAITING_DEVICES} devices are already waiting for their users. Try again later."
                )
            rows.add_code(connection, code)

    def find_device_code(self, secret: str) -> DeviceCode | None:
        """Return the device code with this secret, used and expired ones included."""
        with self._store.database.reading() as connection:
            return rows.find_device_code(connection, digest(secret))

    def is_expired(self, code: DeviceCode) -> bool:
        """Return whether a device code has expired."""
        return code.expire_time <= self._store.clock()

    def waiting_device(self, user_code: str, user_id: str) -> DeviceCode:
        """
        Return the device that is waiting for the code a user typed; spaces, hyphens and case do not matter.

        Raises NotFound, and ResourceExhausted after `WRONG_USER_CODES` wrong ones.
        """
        with self._wrong_user_codes.attempt(user_id), self._store.database.reading() as connection:
            code = rows.find_user_code(connection, _user_code_digest(user_code), self._store.clock())
            if code is None:
                raise NotFound("No sign-in is waiting for this code. Check the code, or start again for a new one.")
        return code

    def decide(self, code: DeviceCode, user_id: str, *, is_approved: bool) -> None:
        """Store what a user decided about a device; the first decision stands."""
        with self._store.database.writing() as connection:
            rows.decide_device_code(connection, code.sha256, user_id, is_approved=is_approved)

    def polls_too_fast(self, code: DeviceCode) -> bool:
        """Note a poll; return whether it came too early, which adds 5 s to the wait (RFC 8628, section 3.5)."""
        now = self._store.clock()
        wait = timedelta(seconds=code.interval_seconds)
        is_too_fast = code.poll_time is not None and now - code.poll_time < wait
        interval = code.interval_seconds + (POLL_SECONDS if is_too_fast else 0)
        with self._store.database.writing() as connection:
            rows.note_poll(connection, code.sha256, now, interval)
        return is_too_fast


def new_user_code() -> str:
    """Return a code to be typed, such as WDJB-MJHT."""
    letters = "".join(secrets.choice(_CONSONANTS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _user_code_digest(user_code: str) -> str:
    return digest("".join(letter for letter in user_code.upper() if letter in _CONSONANTS))
