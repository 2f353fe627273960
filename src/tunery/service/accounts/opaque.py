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
import zlib
from enum import StrEnum

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
