"""
What data surgery finds, as values, and the examples that are left when the sure part of it is fixed.

Knows examples and findings; nothing of how they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tunery.types import TuningExample


class Kind(StrEnum):
    """What is doubtful about a row."""

    DUPLICATE = "duplicate"  # the same input and output as an earlier row
    NEAR_DUPLICATE = "near-duplicate"  # nearly the same input, the same output
    CONTRADICTION = "contradiction"  # the same input or nearly, another output
    HELD_OUT_COPY = "held-out-copy"  # a row to tune on that is nearly one of the held-out rows
    LABEL_VARIANT = "label-variant"  # a label that is another one in other spelling
    CUT_ROW = "cut-row"  # longer than the base's window: the end of its input is lost
    MISLABELLED = "likely-mislabelled"  # a model that has not seen the row does not believe its output
    STILL_WRONG = "still-wrong"  # nor does a model that was tuned on it


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One doubtful row: its place among the examples from 0, the other row it is about if there is one, a sentence.

    `held_out_place` is the other row where that is a held-out one, counted among those.
    `drops` and `new_output` say what a fix does: leave the row out, or give it another output; neither leaves it alone.
    """

    kind: Kind
    place: int
    message: str
    other: int | None = None
    drops: bool = False
    new_output: str | None = None
    score: float | None = None  # similarity 0 to 1, or loss in nats
    held_out_place: int | None = None

    def sentence(self, row_of: Callable[[int], int]) -> str:
        """Return what is doubtful, with the number of the other row; `row_of` makes numbers of places."""
        if self.other is None:
            return self.message
        return self.message.replace("another row", f"row {row_of(self.other)}", 1)

    def document(self, row_of: Callable[[int], int]) -> dict[str, Any]:
        """Return the finding as plain values, with rows instead of places; held-out rows count from 1."""
        return {
            "kind": self.kind.value,
            "row": row_of(self.place),
            "other_row": None if self.other is None else row_of(self.other),
            "held_out_row": None if self.held_out_place is None else self.held_out_place + 1,
            "message": self.sentence(row_of),
            "is_dropped": self.drops,
            "new_output": self.new_output,
            "score": self.score,
        }


def fixed(examples: Sequence[TuningExample], findings: Sequence[Finding]) -> list[TuningExample]:
    """Return the examples without the rows that findings drop, with the outputs that they change, blanks trimmed."""
    dropped = {finding.place for finding in findings if finding.drops}
    outputs = {finding.place: finding.new_output for finding in findings if finding.new_output is not None}
    return [
        TuningExample(example.text_input.strip(), outputs.get(place, example.output).strip())
        for place, example in enumerate(examples)
        if place not in dropped
    ]
