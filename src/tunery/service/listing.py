"""
Pages of lists and what is listed: the `filter` of tunedModels.list and its page tokens, as values.

A page token says behind which number a page begins; it carries a digest of what was asked, so that it is good only for
the list it came from. No SQL, no HTTP.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tunery.errors import InvalidArgument
from tunery.types import Role

MAX_PAGE_SIZE = 1000

_TOKEN = struct.Struct(">Q8s")

# each word includes the higher roles (google/ai/generativelanguage/v1beta/model_service.proto)
_ROLES = {
    "owner:me": (Role.OWNER,),
    "writers:me": (Role.OWNER, Role.WRITER),
    "readers:me": (Role.OWNER, Role.WRITER, Role.READER),
}
_EVERYONE = "readers:everyone"


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """
    Which tuned models a list shows: those on which the caller has one of `roles` in person, or those shared with
    everyone; with every one of `words` in display name or description.
    """

    roles: tuple[Role, ...] = _ROLES["readers:me"]
    is_everyone: bool = False
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ModelFilter:
        """Return the filter that a text asks for; raises InvalidArgument for an unknown `key:value`."""
        roles, is_everyone, words = cls().roles, False, []
        for word in text.split():
            if word in _ROLES:
                roles = _ROLES[word]
            elif word == _EVERYONE:
                is_everyone = True
            elif word.partition(":")[0] in ("owner", "owners", "writers", "readers"):
                known = ", ".join([*_ROLES, _EVERYONE])
                raise InvalidArgument(f"The filter {word!r} is not known. Use words to look for, or one of: {known}.")
            else:
                words.append(word)
        return cls(roles, is_everyone, tuple(words))


def page_size(asked: int | None, default: int) -> int:
    """Return the size of a page: the default for 0 or nothing, never above the limit; raises InvalidArgument."""
    if asked is not None and asked < 0:
        raise InvalidArgument(f"page_size must not be negative, {asked} was given.")
    return min(asked or default, MAX_PAGE_SIZE)


def page_token(last_number: int, *asked: object) -> str:
    """Return the token of the page behind `last_number` of the list that was `asked` for."""
    return base64.urlsafe_b64encode(_TOKEN.pack(last_number, _digest(asked))).decode().rstrip("=")


def read_page_token(token: str | None, *asked: object) -> int | None:
    """Return the number behind which a page begins, None for the first; InvalidArgument if it is not of this list."""
    if not token:
        return None
    try:
        number, digest = _TOKEN.unpack(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, struct.error):
        digest = b""
    if digest != _digest(asked):
        raise InvalidArgument("The page token is not one of this list. Begin with the first page.")
    return int(number)


def _digest(asked: Sequence[object]) -> bytes:
    return hashlib.sha256(repr(asked).encode()).digest()[:8]
