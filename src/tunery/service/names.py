"""
Rules for the ids and display names of tuned models, and how an id is made from a display name.

Knows nothing of what is stored: whether an id is taken, the library says.
"""

from __future__ import annotations

import re
import secrets
import string
import unicodedata

from tunery.errors import InvalidArgument

MAX_NAME_CHARACTERS = 40  # proto TunedModel: both for the id that is given and for display_name
RANDOM_CHARACTERS = 12  # as the original made them: number-generator-model-dzlmi0gswwqb

_ID = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_ALPHABET = string.ascii_lowercase + string.digits


def check_id(model_id: str) -> None:
    """Raise InvalidArgument unless this may be the id of a new tuned model."""
    if not _ID.fullmatch(model_id):
        raise InvalidArgument(
            f"The id {model_id!r} cannot be used: it takes up to {MAX_NAME_CHARACTERS} lower-case letters, digits "
            "and hyphens, starts with a letter and does not end with a hyphen."
        )


def check_display_name(display_name: str) -> None:
    """Raise InvalidArgument if a display name is too long or empty."""
    length = len(display_name)
    if not display_name.strip() or length > MAX_NAME_CHARACTERS:
        raise InvalidArgument(f"The display name takes 1 to {MAX_NAME_CHARACTERS} characters, not {length}.")
    if "\0" in display_name:
        raise InvalidArgument(f"The display name has a NUL character at place {display_name.index(chr(0)) + 1}.")


def new_id(display_name: str) -> str:
    """Return the words of a display name and random characters: "My tickets" → `my-tickets-dzlmi0gswwqb`."""
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    words = "-".join(re.findall(r"[a-z0-9]+", plain))
    if not words[:1].isalpha():  # an id starts with a letter; names like "2024" or "日本語" have none to offer
        words = f"tuned-{words}".strip("-")
    return f"{words[:MAX_NAME_CHARACTERS].strip('-')}-{random_id()}"


def random_id() -> str:
    """Return 12 random characters of a-z and 0-9: 62 bits, nothing a user could guess or meet twice."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARACTERS))
