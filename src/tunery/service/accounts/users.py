"""
Users and groups, their passwords, and the limit on guesses.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from tunery.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from tunery.service import process
from tunery.service.accounts.values import Group, User
from tunery.service.database import accounts as rows
from tunery.service.database import audit
from tunery.service.database.connection import Database
from tunery.service.tuning import LOCAL_ADDRESS, LOCAL_USER

if TYPE_CHECKING:
    from argon2 import PasswordHasher

WRONG_PASSWORDS = 5  # per minute, so 10,000 guesses take more than a day
WRONG_OF_ADDRESS = 30  # per minute, whatever the names; each takes a tenth of a second on two cores
MIN_CHARACTERS = 8  # NIST SP 800-63B and OWASP ASVS 5.0, 6.2.1; 15 or more is better
MAX_ADDRESS_CHARACTERS = 255  # RFC 5321 allows 254
MAX_PASSWORD_CHARACTERS = 1024  # hashing a megabyte could be used for an attack

_ADDRESS = re.compile(r"[^\s@<>\"'()\\,;:]{1,64}@[^\s@<>\"'()\\,;:/]{1,190}")
_MANY_NAMES = 10_000  # number of names with failed attempts before old ones are dropped


@dataclass(frozen=True, slots=True)
class Store:
    """The database with its clocks; `stopwatch` returns seconds that never go back, even if the clock is set."""

    database: Database
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    stopwatch: Callable[[], float] = time.monotonic


class Rate:
    """
    At most `limit` attempts in `seconds` for each name; `clock` returns seconds that never go back.

    `what` describes the attempts in the refusal.
    """

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float], what: str = "failed attempts") -> None:
        self._limit, self._seconds, self._clock, self._what = limit, seconds, clock, what
        self._tries: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """
        Count an attempt for a name; it only counts if the block raises.

        Raises ResourceExhausted, before the block, if the name had too many failed attempts.
        """
        started = self._begin(name)
        yield
        with self._lock:
            tries = self._tries.get(name)
            if tries and started in tries:
                tries.remove(started)

    def count(self, name: str) -> None:
        """Count an attempt for a name, whether it fails or not; raises ResourceExhausted if there were too many."""
        self._begin(name)

    def _begin(self, name: str) -> float:
        with self._lock:
            now = self._clock()
            tries = self._recent(name, now)
            if len(tries) >= self._limit:
                wait = tries[0] + self._seconds - now
                raise ResourceExhausted(f"Too many {self._what}. Try again in {max(1, round(wait))} seconds.")
            tries.append(now)
            return now

    def _recent(self, name: str, now: float) -> deque[float]:
        oldest = now - self._seconds
        if len(self._tries) > _MANY_NAMES:
            self._tries = {key: tries for key, tries in self._tries.items() if tries and tries[-1] > oldest}
        tries = self._tries.setdefault(name, deque())
        while tries and tries[0] <= oldest:
            tries.popleft()
        return tries


class Users:
    """The users and groups of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wrong_passwords = Rate(WRONG_PASSWORDS, 60, store.stopwatch)
        self._wrong_of_address = Rate(WRONG_OF_ADDRESS, 60, store.stopwatch)

    def add(self, address: str, password: str | None = None, *, is_admin: bool = False) -> User:
        """
        Add a user. Raises InvalidArgument for an unusable address or password, AlreadyExists.

        A user without a password signs in with a set-up link.
        """
        user_id = normal_address(address)
        if user_id == LOCAL_ADDRESS:
            raise InvalidArgument(f"{address} is the user of this machine, whose name is {LOCAL_USER}.")
        hashed = None if password is None else _checked_and_hashed(password, user_id)
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if not rows.add_user(connection, user_id, hashed, is_admin=is_admin, now=now):
                raise AlreadyExists(f"There is already a user {user_id}.")
            audit.record(connection, "CreateUser", f"users/{user_id}", is_admin=is_admin)
        return self.get(user_id)

    def get(self, user_id: str) -> User:
        """Return a user; raises NotFound."""
        with self._store.database.reading() as connection:
            user = rows.get_user(connection, user_id.strip().lower())
        if user is None:
            raise NotFound(f"There is no user {user_id}. `tunery users list` lists all users.")
        return user

    def all(self) -> list[User]:
        """Return all users."""
        with self._store.database.reading() as connection:
            return rows.list_users(connection)

    def have_passwords(self) -> bool:
        """Return whether anybody can sign in with a password."""
        return any(user.has_password for user in self.all())

    def sign_in(self, user_id: str, password: str, address: str | None = None) -> User:
        """
        Return the user with this password, which was sent from an address.

        Raises Unauthenticated, the same for a wrong password and an unknown user; ResourceExhausted after
        `WRONG_PASSWORDS` wrong ones in a minute, or `WRONG_OF_ADDRESS` from one address.
        """
        with nullcontext() if address is None else self._wrong_of_address.attempt(address):
            return self._sign_in(user_id, password)

    def _sign_in(self, user_id: str, password: str) -> User:
        is_possible = len(user_id) <= MAX_ADDRESS_CHARACTERS and len(password) <= MAX_PASSWORD_CHARACTERS
        name = user_id[:MAX_ADDRESS_CHARACTERS].strip().lower()
        with self._wrong_passwords.attempt(name):
            with self._store.database.reading() as connection:
                password_hash = rows.password_hash(connection, name)
            # a password that cannot be right has to take as long
            if not (_matches(password[:MAX_PASSWORD_CHARACTERS], password_hash) and is_possible):
                raise Unauthenticated("The user name or password is wrong.")
        if password_hash is not None and _hasher().check_needs_rehash(password_hash):
            with self._store.database.writing() as connection:
                rows.change_user(connection, name, password_hash=_hashed(password))
        return self.get(name)

    def set_password(self, user_id: str, password: str) -> User:
        """Set a user's password and sign out all browsers of this user."""
        user = self.get(user_id)
        password_hash = _checked_and_hashed(password, user.id)
        with self._store.database.writing() as connection:
            rows.change_user(connection, user.id, password_hash=password_hash)
            audit.record(connection, "SetPassword", f"users/{user.id}")
            rows.revoke_sessions(connection, self._store.clock(), user_id=user.id)
        return self.get(user.id)

    def set_disabled(self, user_id: str, is_disabled: bool) -> User:
        """Disable a user, with all sessions and tokens, or enable one; raises FailedPrecondition for "local"."""
        user = self.get(user_id)
        if user.id == LOCAL_USER and is_disabled:
            raise FailedPrecondition("The local user cannot be disabled: nobody could enable it again.")
        now = self._store.clock()
        with self._store.database.writing() as connection:
            rows.change_user(connection, user.id, is_disabled=is_disabled)
            audit.record(connection, "DisableUser" if is_disabled else "EnableUser", f"users/{user.id}")
            if is_disabled:
                rows.revoke_sessions(connection, now, user_id=user.id)
                rows.revoke_tokens(connection, now, user_id=user.id)
        return self.get(user.id)

    def groups(self) -> list[Group]:
        """Return all groups."""
        with self._store.database.reading() as connection:
            return rows.list_groups(connection)

    def set_group(self, address: str, members: Iterable[str]) -> Group:
        """Set the members of a group, which is added if it is new; raises NotFound for an unknown user."""
        group_id = normal_address(address)
        user_ids = sorted({self.get(member).id for member in members})
        with self._store.database.writing() as connection:
            rows.set_group(connection, group_id, user_ids, self._store.clock())
            audit.record(connection, "SetGroup", f"groups/{group_id}", members=user_ids)
        return next(group for group in self.groups() if group.id == group_id)

    def remove_group(self, address: str) -> None:
        """Delete a group; raises NotFound."""
        with self._store.database.writing() as connection:
            if not rows.remove_group(connection, address.strip().lower()):
                raise NotFound(f"There is no group {address}.")
            audit.record(connection, "DeleteGroup", f"groups/{address.strip().lower()}")


def normal_address(address: str) -> str:
    """Return an e-mail address in lower case, as used in ids; raises InvalidArgument for any other text."""
    if len(address) > MAX_ADDRESS_CHARACTERS:
        raise InvalidArgument(f"An address has up to {MAX_ADDRESS_CHARACTERS} characters, not {len(address):,}.")
    normal = address.strip().lower()
    if not _ADDRESS.fullmatch(normal) or not normal.isprintable():
        raise InvalidArgument(f"{address!r} is not an e-mail address.")
    return normal


HASHING_NICENESS = 15  # answers go first, since each hash keeps four threads busy for a tenth of a second
# A hash needs 64 MiB while it is computed, so a limit of two at once bounds the memory for many guesses.
_HASHING = ThreadPoolExecutor(2, "hashing", initializer=process.lower_thread_priority, initargs=(HASHING_NICENESS,))

_CONTEXT_WORDS = ("tunery", "admin", "gemini", "studio")  # docs/access.md lists them
_EASY_GUESSES = WRONG_PASSWORDS * 60 * 24 * 30  # allowed by an account in a month
_JUDGED_CHARACTERS = 32  # rating a long text takes seconds
_judging = threading.Lock()  # zxcvbn keeps the names of the last call in a module


def _checked_and_hashed(password: str, user_id: str) -> str:
    """Return the hash of a new password; raises InvalidArgument with the reason if it is not acceptable."""
    if len(password) < MIN_CHARACTERS:
        raise InvalidArgument(
            f"A password needs at least {MIN_CHARACTERS} characters (15 or more is better), not {len(password)}."
        )
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise InvalidArgument(
            f"A password may have up to {MAX_PASSWORD_CHARACTERS:,} characters; this one has {len(password):,}."
        )
    if _is_easy_to_guess(password, user_id):
        raise InvalidArgument("This password is too easy to guess. Choose another one.")
    return _hashed(password)


def _is_easy_to_guess(password: str, user_id: str) -> bool:
    """Return whether leaked passwords, words, names, repeats and sequences lead to a password within few guesses."""
    from zxcvbn import zxcvbn

    words = [user_id, user_id.partition("@")[0], *_CONTEXT_WORDS]
    with _judging:
        return bool(zxcvbn(password[:_JUDGED_CHARACTERS], user_inputs=words)["guesses"] <= _EASY_GUESSES)


def _hashed(password: str) -> str:
    return _HASHING.submit(_hasher().hash, password).result()


def _matches(password: str, password_hash: str | None) -> bool:
    """
    Return whether this is the password. Without a hash it takes as long, so that nobody can find out which users exist.
    """
    from argon2.exceptions import VerifyMismatchError

    try:
        is_right = _HASHING.submit(_verified, password, password_hash or _hash_of_nobody()).result()
        return is_right and password_hash is not None
    except VerifyMismatchError:
        return False


def _verified(password: str, password_hash: str) -> bool:
    return _hasher().verify(password_hash, password)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher, profiles

    return PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)


@cache
def _hash_of_nobody() -> str:
    return _hasher().hash("nobody has this password")
