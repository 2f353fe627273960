"""
Evaluations of tuned models on the wire (extension): what is asked for, how far it is, and the report.

The names are those of `engine.evaluation.report`, in camelCase; docs/evaluation.md says what each number means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunery.server.wire.base import Message, StrictIncoming
from tunery.server.wire.inquiries import InquiryOut, common, done_and_total
from tunery.server.wire.tuned_models import TuningExamplesIn
from tunery.service.reports import Progress


class RecordedIn(StrictIncoming):
    """Answers of another model to the examples, in their order."""

    title: str = "recorded answers"
    answers: list[str]


class EvaluateIn(StrictIncoming):
    """What to evaluate on; without `examples` the held-out rows."""

    examples: TuningExamplesIn | None = None
    source: str | None = None
    recorded: RecordedIn | None = None
    max_rows: int | None = None
    seed: int | None = None


class IntervalOut(Message):
    """The range of a figure with 95 % confidence."""

    low: float
    high: float


class FigureOut(Message):
    """A score from 0 to 1."""

    metric: str
    value: float
    interval: IntervalOut


class ContenderOut(Message):
    """A way to answer the rows; the first figure is the one that counts."""

    name: str
    title: str
    figures: list[FigureOut]
    examples_in_prompt: int | None = None


class ComparisonOut(Message):
    """The tuned model less another contender, on the same rows."""

    against: str
    difference: float
    interval: IntervalOut
    p_value: float
    relation: str


class VerdictOut(Message):
    """HELPED, PROMPT_ENOUGH, NO_BETTER or TOO_FEW_ROWS, and the sentence."""

    kind: str
    text: str


class ConfusionOut(Message):
    """Rows of each label (line) by answer (column); the last column is any other answer."""

    labels: list[str]
    counts: list[list[int]]


class ScoredRowOut(Message):
    """A row with all answers to it, and the tuned model's score."""

    row: int
    text_input: str
    expected: str
    answers: dict[str, str]
    score: float


class ReportOut(Message):
    """What an evaluation found; rows are shown to writers only."""

    rows: int
    shape: str
    metric: str
    contenders: list[ContenderOut]
    comparisons: list[ComparisonOut]
    verdict: VerdictOut | None = None
    confusion: ConfusionOut | None = None
    best_rows: list[ScoredRowOut]
    worst_rows: list[ScoredRowOut]
    source: str
    rows_left_out: int
    rows_known: int
    rows_available: int
    folds: int | None = None


class EvaluationOut(InquiryOut):
    """Where the evaluation of a tuned model stands; `report` is the newest there is."""

    answered_prompts: int | None = None
    total_prompts: int | None = None
    report: ReportOut | None = None


class EvaluationsPage(Message):
    """The newest evaluation of a tuned model, or nothing."""

    evaluations: list[EvaluationOut] | None


def evaluation_out(
    name: str, progress: Progress | None, document: Mapping[str, Any] | None, *, with_rows: bool
) -> EvaluationOut:
    """Return where the evaluation of a tuned model stands, with the newest report."""
    report = None
    if document is not None:
        hidden: dict[str, Any] = {} if with_rows else {"best_rows": [], "worst_rows": []}
        report = ReportOut.model_validate({**document, **hidden})
    done, total = done_and_total(progress)
    return EvaluationOut(
        **common(f"{name}/evaluation", progress, document), answered_prompts=done, total_prompts=total, report=report
    )
