"""
Codes of sign-ins on their way: authorization codes for a browser that comes back, device codes for one elsewhere.

Knows their rules; who they are for is checked by the authorization server.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from tunery.errors import NotFound
from tunery.service.accounts.opaque import Prefix, digest, is_well_formed, new_secret
from tunery.service.accounts.rates import Rate
from tunery.service.accounts.store import Store, new_id
from tunery.service.accounts.values import AuthorizationCode, Client, DeviceCode
from tunery.service.database import oauth

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
            oauth.add_code(connection, code)
        return secret

    def find_code(self, secret: str) -> AuthorizationCode | None:
        """Return the authorization code with this secret, also a used one; None if it is unknown or too old."""
        if not is_well_formed(secret, Prefix.CODE):
            return None
        with self._store.database.reading() as connection:
            code = oauth.find_code(connection, digest(secret))
        return code if code and (code.use_time or code.expire_time > self._store.clock()) else None

    def new_device_code(self, client: Client, scope: str, device_code: str, user_code: str) -> None:
        """Write down the two codes of a device that waits."""
        expire_time = self._store.clock() + timedelta(seconds=DEVICE_CODE_SECONDS)
        code = DeviceCode(
            digest(device_code), _user_code_digest(user_code), new_id(), client.id, scope, expire_time, POLL_SECONDS
        )
        with self._store.database.writing() as connection:
            oauth.add_device_code(connection, code)

    def find_device_code(self, secret: str) -> DeviceCode | None:
        """Return the device code with this secret, whatever became of it."""
        if not is_well_formed(secret, Prefix.DEVICE):
            return None
        with self._store.database.reading() as connection:
            return oauth.find_device_code(connection, digest(secret))

    def is_expired(self, code: DeviceCode) -> bool:
        """Say whether a device code is too old."""
        return code.expire_time <= self._store.clock()

    def waiting_device(self, user_code: str, user_id: str) -> DeviceCode:
        """
        Return the device that waits for what a user typed; blanks, hyphens and case do not matter.

        Raises NotFound, and ResourceExhausted after `WRONG_USER_CODES` wrong ones.
        """
        with self._wrong_user_codes.attempt(user_id), self._store.database.reading() as connection:
            code = oauth.find_user_code(connection, _user_code_digest(user_code), self._store.clock())
            if code is None:
                raise NotFound("No sign-in waits for this code. Look at the code again, or start anew for a new one.")
        return code

    def decide(self, code: DeviceCode, user_id: str, *, is_approved: bool) -> bool:
        """Write down what a user decided about a device; False if somebody did before."""
        with self._store.database.writing() as connection:
            return oauth.decide_device_code(connection, code.sha256, user_id, is_approved=is_approved)

    def polls_too_fast(self, code: DeviceCode) -> bool:
        """Note that a device asks; True if it did not wait, which makes its wait 5 s longer (RFC 8628, section 3.5)."""
        now = self._store.clock()
        wait = timedelta(seconds=code.interval_seconds)
        is_too_fast = code.poll_time is not None and now - code.poll_time < wait
        interval = code.interval_seconds + (POLL_SECONDS if is_too_fast else 0)
        with self._store.database.writing() as connection:
            oauth.note_poll(connection, code.sha256, now, interval)
        return is_too_fast


def new_user_code() -> str:
    """Return a code to be typed, such as WDJB-MJHT."""
    letters = "".join(secrets.choice(_CONSONANTS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _user_code_digest(user_code: str) -> str:
    return digest("".join(letter for letter in user_code.upper() if letter in _CONSONANTS))
