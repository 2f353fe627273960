"""
Which texts are nearly the same: equal but for case and punctuation, or sharing nearly all words and pairs of words.

Knows texts only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

# Two texts of 20 words with one word exchanged have 0.86 of their words and pairs in common
LEAST_LIKENESS = 0.85
# All texts are held against all: 4,000 take a second and 130 MB; beyond, only the plain form is compared
MAX_COMPARED = 4_000

# what does not change a meaning; a sign before a digit, a decimal point and + * / = % do
_SOFT = re.compile(r"""(?:[\s_!?;:'"()\[\]{}…–—«»„“”‘’]|[.,](?!\d)|-(?!\d))+""")


def plain(text: str) -> str:
    """Return a text in lower case, with one blank for blanks and signs that do not change its meaning."""
    return _SOFT.sub(" ", text.casefold()).strip()


def alike(texts: Sequence[str], among: int | None = None) -> Iterator[tuple[int, int, float]]:
    """
    Yield (later place, earlier place, likeness 0.85 to 1) for texts that are nearly the same, the nearest earlier one.

    With `among` only the first so many texts are earlier ones. Instructions that all share are left out of it.
    """
    start = len(shared_start(texts)) if texts else 0
    forms = [plain(text[start:]) for text in texts]
    first: dict[str, int] = {}
    nearest: dict[int, tuple[int, float]] = {}
    different: list[int] = []
    for place, form in enumerate(forms):
        if form and form in first:
            nearest[place] = (first[form], 1.0)
        elif form:
            different.append(place)
            if among is None or place < among:
                first[form] = place
    if len(different) <= MAX_COMPARED:
        known = None if among is None else sum(place < among for place in different)
        for later, earlier, likeness in _sharing_words([forms[place] for place in different], known):
            nearest[different[later]] = (different[earlier], likeness)
    for place in sorted(nearest):
        yield place, *nearest[place]


def _sharing_words(forms: Sequence[str], among: int | None) -> Iterator[tuple[int, int, float]]:
    import numpy as np

    table = _words_and_pairs(forms)
    if table is None:
        return
    sizes = np.asarray(table.sum(axis=1)).ravel()
    shared = (table @ table.T).tocoo()
    later, earlier = shared.row, shared.col
    likeness = shared.data / np.maximum(sizes[later] + sizes[earlier] - shared.data, 1)
    chosen = (later > earlier) & (likeness >= LEAST_LIKENESS)
    if among is not None:
        chosen &= (earlier < among) & (later >= among)
    numbers = [sorted(word for word in form.split() if any(map(str.isdigit, word))) for form in forms]
    best: dict[int, tuple[float, int]] = {}
    for row, column, value in zip(later[chosen], earlier[chosen], likeness[chosen], strict=True):
        if numbers[row] == numbers[column]:  # another number is another question
            best[int(row)] = max(best.get(int(row), (0.0, 0)), (float(value), int(column)))
    for row in sorted(best):
        yield row, best[row][1], best[row][0]


def _words_and_pairs(forms: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        return CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=r"\S+").fit_transform(forms)
    except ValueError:  # no word in any of them
        return None


_LEAST_SHARED_CHARACTERS = 20  # shorter beginnings are chance: many questions begin with "What is the"


def shared_start(texts: Sequence[str]) -> str:
    """Return the instructions with which all texts begin, up to a blank; empty if they share little."""
    first, last = min(texts), max(texts)  # what these two share, all others share
    shared = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first))
    last_blank = max(first.rfind(" ", 0, shared), first.rfind("\n", 0, shared)) + 1
    return first[:last_blank] if last_blank >= _LEAST_SHARED_CHARACTERS else ""
