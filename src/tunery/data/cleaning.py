"""
Finds doubtful rows: duplicates, copies of held-out rows, contradictions, misspelt labels, cut rows, wrong outputs.

Token counts and losses need a base and are passed in by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, inf
from statistics import median
from typing import Any

from tunery.data.inputs import alike
from tunery.data.outputs import OutputKind, difference, label_variants, output_kind
from tunery.types import TuningExample

DOUBTED_LABEL_LOSS = 3.0  # a probability of 5 %
_SPREADS = 6.0  # times the median deviation: one row in 20,000 of a normal distribution
_LEAST_SPREAD = 0.5  # nats; if all rows are learned equally well, small differences mean nothing


def examine(
    examples: Sequence[TuningExample],
    *,
    held_out: Sequence[TuningExample] = (),
    token_counts: Sequence[int] = (),
    window_tokens: int | None = None,
    losses: Sequence[float] = (),
    learned: Collection[TuningExample] = (),
) -> list[Finding]:
    """
    Return the findings in the order of the rows.

    `held_out` are rows that must not occur among the examples. `token_counts` (prompt plus answer) and `losses` belong
    to the examples; a loss, in nats, is the loss of the whole output under a model that was tuned without the row, or
    with it if the row is in `learned`.
    """
    found = [
        *_copies(examples),
        *_held_out_copies(examples, held_out),
        *_variants(examples),
        *_cut(token_counts, window_tokens),
        *mislabelled(examples, losses, learned),
    ]
    return sorted(found, key=lambda finding: finding.place)


def mislabelled(
    examples: Sequence[TuningExample], losses: Sequence[float], learned: Collection[TuningExample] = ()
) -> Iterator[Finding]:
    """
    Yield rows whose output a model tuned without them finds very unlikely, the least likely first.

    Rows in `learned` are reported as still wrong after tuning on them.
    """
    limit, own = doubted_loss(examples, losses), frozenset(learned)
    for place in sorted(range(len(losses)), key=lambda place: -losses[place]):
        if losses[place] < limit:
            return
        output, chance = _short(examples[place].output), exp(-losses[place])
        kind, model = Kind.MISLABELLED, "a model tuned without this row gives"
        if examples[place] in own:
            kind, model = Kind.STILL_WRONG, "tuned on this row, the model still gives"
        message = f"{model} {output} a probability of {chance:.2%}; is it right?"
        yield Finding(kind, place, message, score=losses[place])


def doubted_loss(examples: Sequence[TuningExample], losses: Sequence[float]) -> float:
    """
    Return the loss at and above which an output is doubted.

    For labels this is a probability below 5 % (which finds 9 of 10 wrong labels, see docs/experiments.md); other
    outputs have to stand out from the rest.
    """
    if not losses:
        return inf
    middle = median(losses)
    spread = median(abs(loss - middle) for loss in losses)
    stands_out = middle + _SPREADS * max(spread, _LEAST_SPREAD)
    has_labels = output_kind([example.output for example in examples]) is OutputKind.LABELS
    return max(DOUBTED_LABEL_LOSS, middle) if has_labels else stands_out


def _copies(examples: Sequence[TuningExample]) -> Iterator[Finding]:
    for place, other, likeness in alike([example.text_input for example in examples]):
        same_input = examples[place].text_input.strip() == examples[other].text_input.strip()
        how = "the same" if same_input else f"nearly the same ({likeness:.0%})"
        if examples[place].output.strip() != examples[other].output.strip():
            message = f"{how} input as another row, but {_short(examples[place].output)} instead of "
            yield Finding(
                Kind.CONTRADICTION, place, message + _short(examples[other].output) + ".", other, score=likeness
            )
        elif same_input:
            yield Finding(Kind.DUPLICATE, place, "the same as another row.", other, drops=True, score=1.0)
        else:
            yield Finding(Kind.NEAR_DUPLICATE, place, f"{how} as another row.", other, drops=True, score=likeness)


def _held_out_copies(examples: Sequence[TuningExample], held_out: Sequence[TuningExample]) -> Iterator[Finding]:
    """Yield examples that nearly equal a held-out row, which would make the model look better than it is."""
    texts = [example.text_input for example in held_out]
    start = len(texts)
    both = [*texts, *(example.text_input for example in examples)]
    for place, other, likeness in alike(both, among=start) if texts else ():
        if place >= start:
            message = f"nearly the same ({likeness:.0%}) input as a held-out row, which then proves little."
            yield Finding(Kind.HELD_OUT_COPY, place - start, message, drops=True, score=likeness, held_out_place=other)


def _variants(examples: Sequence[TuningExample]) -> Iterator[Finding]:
    meant = label_variants([example.output for example in examples])
    for place, example in enumerate(examples):
        label = example.output.strip()
        if label in meant:
            message = f"{_short(label)} {difference(label, meant[label])}."
            yield Finding(Kind.LABEL_VARIANT, place, message, new_output=meant[label])


def _cut(token_counts: Sequence[int], window_tokens: int | None) -> Iterator[Finding]:
    for place, tokens in enumerate(token_counts):
        if window_tokens is not None and tokens > window_tokens:
            message = f"{tokens:,} tokens, but the base reads {window_tokens:,}; the end of the input is cut off."
            yield Finding(Kind.CUT_ROW, place, message)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 40 else line[:37] + "...")


class Kind(StrEnum):
    """Why a row is doubtful; the values are stored in reports."""

    DUPLICATE = "duplicate"  # the same input and output as an earlier row
    NEAR_DUPLICATE = "near-duplicate"  # nearly the same input, the same output
    CONTRADICTION = "contradiction"  # the same or nearly the same input, another output
    HELD_OUT_COPY = "held-out-copy"  # a training row that nearly equals a held-out row
    LABEL_VARIANT = "label-variant"  # another spelling of a label
    CUT_ROW = "cut-row"  # longer than the base's window: the end of its input is lost
    MISLABELLED = "likely-mislabelled"  # a model that has not seen the row finds its output unlikely
    STILL_WRONG = "still-wrong"  # even a model tuned on the row finds its output unlikely


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One doubtful row: its index among the examples, the other row if two are involved, and a sentence.

    `held_out_place` is the index of the other row among the held-out ones.
    A fix removes the row if `drops`, or replaces its output by `new_output`.
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
        """Return the sentence with the number of the other row; `row_of` maps indexes to row numbers."""
        if self.other is None:
            return self.message
        return self.message.replace("another row", f"row {row_of(self.other)}", 1)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Finding:
        """Return the finding stored as `document`, where rows are counted from 1."""
        other, held_out = document["other_row"], document["held_out_row"]
        return cls(
            kind=Kind(document["kind"]),
            place=document["row"] - 1,
            message=document["message"],
            other=None if other is None else other - 1,
            drops=document["is_dropped"],
            new_output=document["new_output"],
            score=document["score"],
            held_out_place=None if held_out is None else held_out - 1,
        )

    def document(self, row_of: Callable[[int], int]) -> dict[str, Any]:
        """Return the finding as plain values with row numbers; held-out rows count from 1."""
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


def fixed_rows(findings: Sequence[Finding]) -> int:
    """Return the number of rows that the fixes of the findings change or leave out."""
    return len({finding.place for finding in findings if finding.drops or finding.new_output is not None})


def fixed(examples: Sequence[TuningExample], findings: Sequence[Finding]) -> list[TuningExample]:
    """Return the examples with the fixes applied and whitespace at both ends removed."""
    dropped = {finding.place for finding in findings if finding.drops}
    outputs = {finding.place: finding.new_output for finding in findings if finding.new_output is not None}
    return [
        TuningExample(example.text_input.strip(), outputs.get(place, example.output).strip())
        for place, example in enumerate(examples)
        if place not in dropped
    ]
