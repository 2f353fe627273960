"""
What texts have in common: how most of them begin and end, which field labels they have, in which script they are.

Counts and compares; no model, no dictionary. Knows lists of texts only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

TOLERATED = 0.01  # share of rows that may be otherwise: a stray row shall not hide what 199 others have in common
MIN_FRAME_CHARACTERS = 12  # shorter beginnings are shared by chance ("What is ")

# a word before a colon anywhere, as in "question: ... context: ...", or up to four words at the beginning of a line
_LABEL = re.compile(
    r"(?:(?<=\s)|^)([^\W\d_][\w-]{0,29}):(?=\s|$)|^[ \t]*([^\W\d_][\w-]*(?: [\w-]+){1,3}):(?=\s|$)", re.M
)
_URL = ("http", "https", "ftp", "mailto")


def common_beginning(texts: Sequence[str]) -> str:
    """Return with what nearly all texts begin, cut back to the end of a line, a label or a sentence; may be empty."""
    return _cut(_shared(texts))


def common_ending(texts: Sequence[str]) -> str:
    """Return with what nearly all texts end, from the beginning of a line on; may be empty."""
    shared = _shared([text[::-1] for text in texts])[::-1]
    place = shared.find("\n")
    return shared[place:] if place >= 0 and shared[place:].strip() else ""


def labels_in(text: str) -> list[str]:
    """Return the field labels of a text in their order, each once, without their colons."""
    found = (first or line for first, line in _LABEL.findall(text))
    return list(dict.fromkeys(label for label in found if label.lower() not in _URL))


def common_labels(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that nearly all texts have, in the order of the first text that has all of them."""
    rows = [labels_in(text) for text in texts]
    counts = Counter(label for row in rows for label in row)
    common = {label for label, count in counts.items() if count >= needed(len(texts))}
    whole = next((row for row in rows if common <= set(row)), [])
    return tuple(label for label in whole if label in common)


def has_order(texts: Sequence[str], labels: Sequence[str]) -> bool:
    """Say whether nearly all texts have these labels in this order."""
    orders = [[label for label in labels_in(text) if label in labels] for text in texts]
    return sum(order == list(labels) for order in orders) >= needed(len(texts))


def script_of(text: str) -> str | None:
    """Return the script of most letters of a text, as Unicode names it ("LATIN"); None without letters."""
    counts = Counter(_script(character) for character in text if character.isalpha())
    return counts.most_common(1)[0][0] if counts else None


def needed(rows: int) -> int:
    """Return how many of so many rows are nearly all."""
    return rows - int(rows * TOLERATED)


def _script(character: str) -> str:
    return unicodedata.name(character, "UNKNOWN").split(" ", 1)[0]


def _shared(texts: Sequence[str]) -> str:
    """Return the longest beginning that nearly all texts share: neighbours in order share most."""
    ordered, many = sorted(texts), needed(len(texts))
    windows = range(len(ordered) - many + 1)
    return max((_beginning(ordered[at], ordered[at + many - 1]) for at in windows), key=len, default="")


def _beginning(one: str, other: str) -> str:
    """Return with what two texts begin alike."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in same)]


def _cut(beginning: str) -> str:
    ends = [match.end() for match in re.finditer(r"\n+|:[ \t]*|[.!?;][ \t]+", beginning)]
    return beginning[: ends[-1]] if ends else ""
