"""
Passwords: which ones are taken, and how they are kept (Argon2id, RFC 9106).

Knows texts and hashes; nothing of users or tables.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from tunery.errors import InvalidArgument

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_CHARACTERS = 8  # NIST SP 800-63B and OWASP ASVS 5.0, 6.2.1; 15 are better
MAX_CHARACTERS = 1024  # hashing a megabyte would be somebody's attack

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


def check(password: str, user_id: str) -> None:
    """Raise InvalidArgument with the reason if a password must not be used."""
    if len(password) < MIN_CHARACTERS:
        raise InvalidArgument(
            f"A password needs at least {MIN_CHARACTERS} characters (better 15), this one has {len(password)}."
        )
    if len(password) > MAX_CHARACTERS:
        raise InvalidArgument(
            f"A password may have up to {MAX_CHARACTERS:,} characters, this one has {len(password):,}."
        )
    plain = password.lower()
    if plain in _COMMON or len(set(plain)) < 3 or plain in (user_id, user_id.partition("@")[0]):
        raise InvalidArgument("This password is one of the first that somebody would guess. Choose another one.")


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    with _TWO_AT_ONCE:
        return _hasher().hash(password)


def matches(password: str, password_hash: str | None) -> bool:
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
