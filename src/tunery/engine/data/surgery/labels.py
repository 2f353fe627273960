"""
Labels that are one label in several spellings: other case, blanks, hyphens, plural, or a letter off among rare ones.

Knows outputs only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunery.engine.data.surgery.likeness import plain

MAX_LABEL_CHARACTERS = 60
_LEAST_ROWS = 10
_LEAST_SHARE_OF_REPEATED = 0.6  # variants make labels rarer than those of a clean file
_RARE_ROWS = 2
_TIMES_AS_FREQUENT = 4  # a misspelling is much rarer than what it stands for
_LEAST_LETTERS = 4  # in short words a letter is a difference: "bill", "ball" is a risk, "no", "so" a certainty


def label_variants(outputs: Sequence[str]) -> dict[str, str]:
    """Return for each variant the label it stands for, the most frequent spelling; empty if outputs are no labels."""
    if not are_labels(outputs):
        return {}
    counts = Counter(output.strip() for output in outputs)
    found: dict[str, str] = {}
    by_form: dict[str, str] = {}
    for label, _ in counts.most_common():
        form = _form(label)
        if form in by_form:
            found[label] = by_form[form]
        else:
            by_form[form] = label
    remaining = [label for label in counts if label not in found]
    for label in remaining:
        if counts[label] <= _RARE_ROWS and (meant := _meant(label, remaining, counts)) is not None:
            found[label] = meant
    return found


def _form(label: str) -> str:
    form = plain(label).replace(" ", "")
    return form.removesuffix("s") if len(form) > _LEAST_LETTERS else form


def _meant(label: str, labels: Sequence[str], counts: Counter[str]) -> str | None:
    near = [
        other
        for other in labels
        if counts[other] >= _TIMES_AS_FREQUENT * counts[label] and is_a_letter_off(plain(label), plain(other))
    ]
    return max(near, key=counts.__getitem__, default=None)


def are_labels(outputs: Sequence[str]) -> bool:
    """Say whether outputs are a closed set of labels, some of them misspelt perhaps."""
    counts = Counter(output.strip() for output in outputs)
    if len(outputs) < _LEAST_ROWS or max(map(len, counts)) > MAX_LABEL_CHARACTERS:
        return False
    return sum(count for count in counts.values() if count > 1) >= _LEAST_SHARE_OF_REPEATED * len(outputs)


def is_a_letter_off(one: str, other: str) -> bool:
    """Say whether a text becomes another by one letter more, less, other or swapped with its neighbour; no digit."""
    if one == other or min(len(one), len(other)) < _LEAST_LETTERS or abs(len(one) - len(other)) > 1:
        return False
    start = next((at for at, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), None)
    at = min(len(one), len(other)) if start is None else start
    left, right = one[at:], other[at:]
    if any(character.isdigit() for character in (left[:1] + right[:1])):
        return False
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped
