"""
What the outputs of a dataset look like, which decides how answers are scored, and how an answer is read.

The exact reading is what a program sees. The generous one takes the answer out of a talkative reply; it is used for
bases that are only prompted, so that a prompt is not blamed for its form. Knows texts; nothing of models.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunery.engine.evaluation.report import OutputShape

# A closed set of labels: short texts, nearly all seen again; the rule of `engine.data.checks`
MAX_LABEL_CHARACTERS = 60
_LEAST_ROWS = 10
_LEAST_SHARE_OF_REPEATED = 0.8
_LEAST_SHARE_OF_JSON = 0.95
_SHORT_CHARACTERS = 80  # of the outputs in the middle; a title, a name, a number, not a summary
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of some outputs, and the labels if they are a closed set."""

    kind: OutputShape
    labels: tuple[str, ...] = ()

    def exact(self, answer: str) -> str:
        """Return what counts of an answer: all of it but blanks at the edges."""
        return answer.strip()

    def generous(self, answer: str) -> str:
        """Return what a patient reader takes from an answer: the first label named, the first line, the JSON in it."""
        match self.kind:
            case OutputShape.LABELS:
                return self._first_label(answer)
            case OutputShape.JSON:
                return _json_in(answer)
            case OutputShape.SHORT_TEXT:
                lines = answer.strip().splitlines() or [""]
                return lines[0].strip().removesuffix(".")
        return answer.strip()

    def _first_label(self, answer: str) -> str:
        by_folded = {label.casefold(): label for label in self.labels}
        longest_first = sorted(by_folded, key=len, reverse=True)
        pattern = "|".join(rf"(?<!\w){re.escape(label)}(?!\w)" for label in longest_first if label)
        found = re.search(pattern, answer.casefold()) if pattern else None
        return by_folded[found.group()] if found else answer.strip()


def shape_of(outputs: Sequence[str]) -> Shape:
    """Return the shape of outputs, best given all that are known."""
    stripped = [output.strip() for output in outputs]
    if sum(_is_object(output) for output in stripped) >= _LEAST_SHARE_OF_JSON * len(stripped) > 0:
        return Shape(OutputShape.JSON)
    if _are_labels(stripped):
        return Shape(OutputShape.LABELS, tuple(sorted(set(stripped))))
    lengths = sorted(map(len, stripped))
    if lengths and lengths[len(lengths) // 2] > _SHORT_CHARACTERS:
        return Shape(OutputShape.LONG_TEXT)
    return Shape(OutputShape.SHORT_TEXT)


def parsed(text: str) -> Any:
    """Return the JSON value of a text, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _are_labels(outputs: Sequence[str]) -> bool:
    if len(outputs) < _LEAST_ROWS or max(map(len, outputs)) > MAX_LABEL_CHARACTERS:
        return False
    repeated = sum(count for count in Counter(outputs).values() if count > 1)
    return repeated >= _LEAST_SHARE_OF_REPEATED * len(outputs)


def _is_object(text: str) -> bool:
    return text[:1] in ("{", "[") and isinstance(parsed(text), dict | list)


def _json_in(answer: str) -> str:
    fenced = _FENCE.search(answer)
    text = fenced.group(1) if fenced else answer
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text.strip()
