"""
What data surgery finds, as values, and the examples that are left when the sure part of it is fixed.

Knows examples and findings; nothing of how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One doubtful row: its place among the examples from 0, the other row it is about if there is one, a sentence.

    `drops` and `new_output` say what a fix does: leave the row out, or give it another output; neither leaves it alone.
    """

    kind: Kind
    place: int
    message: str
    other: int | None = None
    drops: bool = False
    new_output: str | None = None
    score: float | None = None  # similarity 0 to 1, or loss in nats


def fixed(examples: Sequence[TuningExample], findings: Sequence[Finding]) -> list[TuningExample]:
    """Return the examples without the rows that findings drop, with the outputs that they change, blanks trimmed."""
    dropped = {finding.place for finding in findings if finding.drops}
    outputs = {finding.place: finding.new_output for finding in findings if finding.new_output is not None}
    return [
        TuningExample(example.text_input.strip(), outputs.get(place, example.output).strip())
        for place, example in enumerate(examples)
        if place not in dropped
    ]
