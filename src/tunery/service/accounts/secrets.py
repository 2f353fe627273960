"""
Secrets that we give out: 256 random bits behind a prefix that scanners recognise, with a checksum at the end.

    tny_k_ + 43 characters (256 bits) + 6 characters (CRC-32 of what stands before)

What is kept of one is its SHA-256: enough random bits need no slow hash. Knows nothing of tables or users.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from tunery.errors import InvalidArgument, ResourceExhausted
from tunery.service.database.connection import Database
from tunery.service.requests import random_id

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 43  # 62 ** 43 > 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 > 2 ** 32
_FORM = re.compile(rf"tny_[a-z]_[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


class Prefix(StrEnum):
    """What a secret is, to be seen by people and scanners."""

    ACCESS = "tny_a_"
    REFRESH = "tny_r_"
    PLAIN = "tny_t_"
    KEY = "tny_k_"
    CLIENT = "tny_x_"
    CODE = "tny_c_"
    DEVICE = "tny_d_"
    SESSION = "tny_s_"
    SETUP = "tny_u_"
    LOCAL = "tny_l_"


def new_secret(prefix: Prefix) -> str:
    """Return a new secret."""
    body = prefix + _in_base_62(secrets.randbits(256), _RANDOM_LENGTH)
    return body + _checksum(body)


def is_well_formed(secret: str, *prefixes: Prefix) -> bool:
    """Say whether a text can be a secret with one of these prefixes at all; typing mistakes never reach a table."""
    return (
        _FORM.fullmatch(secret) is not None
        and secret[: len(Prefix.KEY)] in prefixes
        and _checksum(secret[:-_CHECKSUM_LENGTH]) == secret[-_CHECKSUM_LENGTH:]
    )


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _in_base_62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _in_base_62(number: int, length: int) -> str:
    text = ""
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text


MIN_CHARACTERS = 8  # NIST SP 800-63B and OWASP ASVS 5.0, 6.2.1; 15 are better
MAX_PASSWORD_CHARACTERS = 1024  # hashing a megabyte would be somebody's attack

# A hash takes 64 MiB for its time: that many at once are a limit to what a crowd of guesses can take.
_TWO_AT_ONCE = threading.BoundedSemaphore(2)

# Those of at least 8 characters that lists of leaked passwords have on top, in lower case.
_LISTED = """
00000000 0123456789 11111111 1111111111 11223344 112233445566 12121212 12344321 12345678 123123123 123321123
1234567890 123456789 12345678910 1234567891 123456abc 1234qwer 123qweasd 123qwe123 147258369 14725836 147852369
1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qazxsw2 22222222 55555555 66666666 77777777 87654321 88888888 987654321 99999999
a1234567 a12345678 a123456789 aa123456 aa12345678 abc12345 abc123456 abcd1234 abcdefgh adminadmin administrator
admin123 admin1234 alexander asdasdasd asdf1234 asdfasdf asdfghjk asdfghjkl babygirl baseball basketball blink182
butterfly changeme charlie1 chocolate computer corvette danielle dragon123 elizabeth facebook family123 fernando
football football1 garfield gabriela iloveyou iloveyou1 iloveyou2 internet jennifer jonathan jordan23 justinbieber
killer123 letmein1 letmein123 liverpool lovelove loveyou1 manchester marlboro maverick michelle michael1 midnight
minecraft monkey123 motdepasse mustang1 nicholas nothing1 passw0rd password password! password1 password12 password123
password1234 passwort patricia pokemon1 princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsxedc qwer1234 qwerasdf qwert123
qwertyui qwertyuiop qwerty12 qwerty123 qwerty1234 qwerty12345 qwertz123 rockyou1 samantha samsung1 scorpion secret123
simpsons slipknot softball spiderman startrek starwars steelers steven123 sunshine sunshine1 superman superstar
test1234 testtest trustno1 tuneryadmin tunery123 unknown1 valentina veronica victoria volleyball welcome1 welcome123
whatever william1 xxxxxxxx zaq12wsx zaq1zaq1 zxcvbnm1 zxcvbnm123
"""
_COMMON = frozenset(_LISTED.split())


def check_password(password: str, user_id: str) -> None:
    """Raise InvalidArgument with the reason if a password must not be used."""
    if len(password) < MIN_CHARACTERS:
        raise InvalidArgument(
            f"A password needs at least {MIN_CHARACTERS} characters (better 15), this one has {len(password)}."
        )
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise InvalidArgument(
            f"A password may have up to {MAX_PASSWORD_CHARACTERS:,} characters, this one has {len(password):,}."
        )
    plain = password.lower()
    if plain in _COMMON or len(set(plain)) < 3 or plain in (user_id, user_id.partition("@")[0]):
        raise InvalidArgument("This password is one of the first that somebody would guess. Choose another one.")


def hashed_password(password: str) -> str:
    """Return what is kept of a password."""
    with _TWO_AT_ONCE:
        return _hasher().hash(password)


def password_matches(password: str, password_hash: str | None) -> bool:
    """Say whether this is the password; without a hash it takes as long and says no: nobody learns who exists."""
    from argon2.exceptions import VerifyMismatchError

    try:
        with _TWO_AT_ONCE:
            return _hasher().verify(password_hash or _hash_of_nobody(), password) and password_hash is not None
    except VerifyMismatchError:
        return False


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher, profiles

    return PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)


@cache
def _hash_of_nobody() -> str:
    return _hasher().hash("nobody has this password")


_MANY_KEYS = 10_000  # names that were guessed at before old ones are forgotten


class Rate:
    """At most `limit` failed tries in `seconds` for each name; `clock` gives seconds that never go back."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._tries: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """
        Count a try for a name; it is taken back unless the block raises.

        Raises ResourceExhausted, before the block, if the name had too many failed tries.
        """
        started = self._begin(name)
        yield
        self._take_back(name, started)

    def _begin(self, name: str) -> float:
        with self._lock:
            now = self._clock()
            tries = self._recent(name, now)
            if len(tries) >= self._limit:
                wait = tries[0] + self._seconds - now
                raise ResourceExhausted(f"Too many wrong tries. Wait {max(1, round(wait))} seconds and try again.")
            tries.append(now)
            return now

    def _take_back(self, name: str, started: float) -> None:
        with self._lock:
            tries = self._tries.get(name)
            if tries and started in tries:
                tries.remove(started)

    def _recent(self, name: str, now: float) -> deque[float]:
        if len(self._tries) > _MANY_KEYS:
            self._tries = {
                key: tries for key, tries in self._tries.items() if tries and tries[-1] > now - self._seconds
            }
        tries = self._tries.setdefault(name, deque())
        while tries and tries[0] <= now - self._seconds:
            tries.popleft()
        return tries


_BETWEEN_USES_SECONDS = 60  # a use is written down once a minute, not with every call


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Store:
    """`clock` says what time it is; `stopwatch` gives seconds that never go back, whoever sets the clock."""

    database: Database
    clock: Callable[[], datetime] = _utc_now
    stopwatch: Callable[[], float] = time.monotonic

    def is_worth_noting(self, last_use_time: datetime | None) -> bool:
        """Say whether the last use that was written down is so long ago that this one should be."""
        return last_use_time is None or self.clock() - last_use_time >= timedelta(seconds=_BETWEEN_USES_SECONDS)


def new_id() -> str:
    """Return a new id that is no secret."""
    return random_id()
