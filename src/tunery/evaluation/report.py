"""
The result of an evaluation (figures, candidates, comparisons, verdict, single rows) and its JSON document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class ScoringKind(StrEnum):
    """How answers are scored."""

    LABELS = "LABELS"  # right if equal
    SHORT_TEXT = "SHORT_TEXT"  # right if equal
    JSON = "JSON"  # compared field by field
    LONG_TEXT = "LONG_TEXT"  # scored by similarity


class VerdictKind(StrEnum):
    """The verdict in one word."""

    HELPED = "HELPED"
    PROMPT_ENOUGH = "PROMPT_ENOUGH"
    NO_BETTER = "NO_BETTER"
    TOO_FEW_ROWS = "TOO_FEW_ROWS"


class Relation(StrEnum):
    """How the tuned model compares with another candidate."""

    BETTER = "BETTER"  # the whole interval of the difference lies above 0
    NOT_BETTER = "NOT_BETTER"  # a relevant gain can be ruled out
    UNCLEAR = "UNCLEAR"


@dataclass(frozen=True, slots=True)
class Interval:
    """The range in which a figure lies with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One score of one candidate, 0 to 1, with its interval."""

    metric: str  # accuracy, macro_f1, exact_match, fields, whole_rows, rouge_l, chrf
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to answer the rows; the first figure is the one that counts."""

    name: str  # majority, similar, states, base, base_examples, tuned, recorded
    title: str
    figures: tuple[Figure, ...]
    examples_in_prompt: int | None = None  # at most; with long rows, fewer fit
    is_limited: bool = False  # to the labels, of which it gave the likeliest

    @property
    def score(self) -> float:
        return self.figures[0].value


@dataclass(frozen=True, slots=True)
class Comparison:
    """The tuned model minus another candidate on the same rows; `p_value` is two-sided."""

    against: str
    difference: float
    interval: Interval
    p_value: float
    relation: Relation


@dataclass(frozen=True, slots=True)
class Verdict:
    """One word for programs, one sentence for people."""

    kind: VerdictKind
    text: str


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often rows of a label (matrix row) got an answer (column); the last column is any other answer."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Answers only with at least this probability: the share of rows answered, and the share of these that is right."""

    probability: float
    answered: float
    right: float | None = None  # None if no row is answered


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows with probabilities in the same tenth: the mean probability of their answers, and the share that is right."""

    rows: int
    probability: float
    right: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """
    How far the probabilities of labels can be trusted, on rows that the model was not tuned on.

    `error` is the mean distance between probability and share of right answers (expected calibration error), 0..1;
    `brier` the squared distance from certainty about the right label, 0..2. Both, and the thresholds, are measured with
    the temperature that fits other rows, `uncalibrated_error` without one.
    """

    rows: int
    temperature: float
    error: float
    uncalibrated_error: float
    brier: float
    thresholds: tuple[Threshold, ...]
    bins: tuple[ReliabilityBin, ...] = ()  # only those that have rows; earlier reports do not have them


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A row with what was expected, what the candidates answered, and the tuned model's score, 0 to 1."""

    row: int  # its place among the given rows, from 1, or its number in their file
    text_input: str
    expected: str
    answers: dict[str, str]
    score: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that an evaluation found; `verdict` is None when there was nothing to compare."""

    rows: int
    shape: ScoringKind
    metric: str  # of the figure that counts
    contenders: tuple[Candidate, ...]
    comparisons: tuple[Comparison, ...] = ()
    verdict: Verdict | None = None
    confusion: Confusion | None = None
    best_rows: tuple[ScoredRow, ...] = ()
    worst_rows: tuple[ScoredRow, ...] = ()
    answered_rows: tuple[ScoredRow, ...] = ()  # the first KEPT_ROWS, with the answers of base and tuned model
    source: str = ""  # a description of where the rows come from
    rows_left_out: int = 0  # rows left out because they are too long for the base with their answer
    rows_known: int = 0  # rows left out because the model was tuned on their inputs
    rows_available: int = 0  # the number that `rows` were sampled from if there were more than the limit
    folds: int | None = None  # number of folds; each row was answered by a model tuned without it
    calibration: Calibration | None = None  # of a model of labels, with enough rows
    served_epoch: int | None = None  # the epoch in use when the model was evaluated, if it is known

    def candidate(self, name: str) -> Candidate | None:
        return next((candidate for candidate in self.contenders if candidate.name == name), None)

    def without_rows(self) -> Evaluation:
        """Return the evaluation without single rows, for readers who may not see the data."""
        return replace(self, best_rows=(), worst_rows=(), answered_rows=())

    def renumbered(self, numbers: Sequence[int]) -> Evaluation:
        """Return the evaluation with the numbers of the single rows replaced; `numbers` are those of rows 1, 2, ..."""
        if not numbers:
            return self
        best, worst, answered = (
            tuple(replace(row, row=numbers[row.row - 1]) for row in rows)
            for rows in (self.best_rows, self.worst_rows, self.answered_rows)
        )
        return replace(self, best_rows=best, worst_rows=worst, answered_rows=answered)

    def document(self) -> dict[str, Any]:
        """Return the evaluation as plain JSON values."""
        return asdict(self)


def read_report(document: Any) -> Evaluation:
    """Return the evaluation that a document describes; raise ValueError if it does not describe one."""
    return _adapter().validate_python(document)


@cache
def _adapter() -> TypeAdapter[Evaluation]:
    from pydantic import TypeAdapter  # this is slow to load, and few commands read a report

    return TypeAdapter(Evaluation)
