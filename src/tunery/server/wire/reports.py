"""
Reports about tuned models as messages (extension): evaluation, data check and data curve.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from tunery.data.cleaning import Finding, fixed_rows
from tunery.data.tables import MAX_ROWS
from tunery.evaluation.calibration import read_calibration, sentence
from tunery.server.wire.datasets import StoredExampleOut
from tunery.server.wire.messages import Message, StrictIncoming, Timestamp
from tunery.server.wire.tuning import TuningExamplesIn
from tunery.service.reports import Progress
from tunery.types import MAX_DATASET_BYTES, SettingsKind, TuningExample


class InquiryErrorOut(Message):
    """Why the last report failed."""

    code: int
    message: str


class InquiryOut(Message):
    """The state of a report: RUNNING with progress, FAILED with its error, or SUCCEEDED."""

    name: str
    state: str
    error: InquiryErrorOut | None = None
    create_time: Timestamp | None = None


def common(name: str, progress: Progress | None, document: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that all kinds of reports share, without progress and report."""
    error = None if progress is None else progress.error
    return {
        "name": name,
        "state": "SUCCEEDED" if progress is None else progress.state,
        "error": None if error is None else InquiryErrorOut(code=error.code, message=str(error)),
        "create_time": None if document is None else datetime.fromisoformat(document["create_time"]),
    }


def done_and_total(progress: Progress | None) -> tuple[int | None, int | None]:
    """Return how much is done and the total, None if nothing is running."""
    if progress is None or progress.state != "RUNNING":
        return None, None
    return progress.done, progress.total


class RecordedIn(StrictIncoming):
    """Another model's answers to the examples, in order."""

    title: str = "recorded answers"
    answers: list[str] = Field(max_length=MAX_ROWS)


class EvaluateIn(StrictIncoming):
    """
    The rows to evaluate on; without `examples`, the held-out rows.

    With `fold_count` (2 to 10), all rows of the model are used, and each is answered by a model that was tuned without
    it; with `compare_settings`, each fold is tuned a second time with the page's or with auto settings.
    """

    max_bytes = MAX_DATASET_BYTES

    examples: TuningExamplesIn | None = None
    source: str | None = None
    recorded: RecordedIn | None = None
    max_rows: int | None = None
    seed: int | None = None
    fold_count: int | None = None
    compare_settings: SettingsKind | None = None


class IntervalOut(Message):
    """The 95 % confidence interval of a figure."""

    low: float
    high: float


class FigureOut(Message):
    """A score from 0 to 1."""

    metric: str
    value: float
    interval: IntervalOut


class ContenderOut(Message):
    """One way to answer the rows; the first figure decides."""

    name: str
    title: str
    figures: list[FigureOut]
    examples_in_prompt: int | None = None
    is_limited: Annotated[bool, Field(description="To the labels of the examples; it gave the likeliest.")] = False


class ComparisonOut(Message):
    """The tuned model minus another candidate, on the same rows."""

    against: str
    difference: float
    interval: IntervalOut
    p_value: float
    relation: str


class VerdictOut(Message):
    """HELPED, PROMPT_ENOUGH, NO_BETTER or TOO_FEW_ROWS, and a sentence."""

    kind: str
    text: str


class ConfusionOut(Message):
    """Counts by label (row) and answer (column); the last column is any other answer."""

    labels: list[str]
    counts: list[list[int]]


class ThresholdOut(Message):
    """Answers only with at least this probability: the share of rows answered, and the share of these that is right."""

    probability: float
    answered: float
    right: float | None = None


class ReliabilityBinOut(Message):
    """Rows with probabilities in the same tenth: the mean probability of their answers, and the share that is right."""

    rows: int
    probability: float
    right: float


class CalibrationOut(Message):
    """How far the probabilities of labels can be trusted, with a sentence: 0 is best for `error` and `brier`."""

    text: str
    rows: int
    temperature: float
    error: float
    uncalibrated_error: float
    brier: float
    thresholds: list[ThresholdOut]
    bins: Annotated[list[ReliabilityBinOut], Field(description="Those that have rows; earlier reports have none.")]


class ScoredRowOut(Message):
    """A row with all answers and the tuned model's score."""

    row: int
    text_input: str
    expected: str
    answers: dict[str, str]
    score: float


class ReportOut(Message):
    """The result of an evaluation; only writers see rows."""

    rows: int
    shape: str
    metric: str
    contenders: list[ContenderOut]
    comparisons: list[ComparisonOut]
    verdict: VerdictOut | None = None
    confusion: ConfusionOut | None = None
    calibration: CalibrationOut | None = None
    best_rows: list[ScoredRowOut]
    worst_rows: list[ScoredRowOut]
    answered_rows: Annotated[
        list[ScoredRowOut],
        Field(default_factory=list, description="The first rows with the answers of the base and the tuned model."),
    ]
    source: str
    rows_left_out: int
    rows_known: int
    rows_available: int
    folds: int | None = None
    served_epoch: Annotated[
        int | None, Field(description="The epoch that answered, if it is known; the model may serve another one now.")
    ] = None


class EvaluationOut(InquiryOut):
    """The state of a tuned model's evaluation, with the newest report."""

    answered_prompts: Annotated[int | None, Field(description="With folds, the tuning steps.")] = None
    total_prompts: int | None = None
    report: ReportOut | None = None


class EvaluationsPage(Message):
    """The newest evaluation of a tuned model, if there is one."""

    evaluations: list[EvaluationOut] | None


def evaluation_out(
    name: str, progress: Progress | None, document: Mapping[str, Any] | None, *, with_rows: bool
) -> EvaluationOut:
    """Return the state of a tuned model's evaluation, with the newest report."""
    report = None
    if document is not None:
        changes: dict[str, Any] = {} if with_rows else {"best_rows": [], "worst_rows": [], "answered_rows": []}
        if document.get("calibration"):
            found = read_calibration(document["calibration"])
            changes["calibration"] = {**asdict(found), "text": sentence(found)}
        report = ReportOut.model_validate({**document, **changes})
    done, total = done_and_total(progress)
    return EvaluationOut(
        **common(f"{name}/evaluation", progress, document), answered_prompts=done, total_prompts=total, report=report
    )


class MeasuredOut(Message):
    """The score, 0 to 1, after tuning on `rows` rows, measured on `tested` others."""

    rows: int
    score: float
    tested: int


class PromiseOut(Message):
    """The score expected with `rows` rows, and the gain over the largest measured size."""

    rows: int
    score: float
    gain: float
    interval: IntervalOut
    text: str


class DataCurveReportOut(Message):
    """The result of a data curve."""

    rows: int
    metric: str
    measured: list[MeasuredOut]
    promises: list[PromiseOut]
    advice: str


class DataCurveOut(InquiryOut):
    """The state of a tuned model's data curve, with the newest report."""

    tuning: int | None = None
    tunings: int | None = None
    report: DataCurveReportOut | None = None


class DataCurvesPage(Message):
    """The newest data curve of a tuned model, if there is one."""

    data_curves: list[DataCurveOut] | None


def data_curve_out(name: str, progress: Progress | None, document: Mapping[str, Any] | None) -> DataCurveOut:
    """Return the state of a tuned model's data curve, with the newest report."""
    tuning, tunings = done_and_total(progress)
    return DataCurveOut(
        **common(f"{name}/dataCurve", progress, document),
        tuning=tuning,
        tunings=tunings,
        report=None if document is None else DataCurveReportOut.model_validate(document),
    )


class ExamineIn(StrictIncoming):
    """How to check the data; `foldCount` tuning runs find outputs that are probably wrong."""

    fold_count: int | None = None


class FindingOut(Message):
    """A doubtful row, numbered from 1 among the examples, and its fix: remove it or change its output."""

    kind: str
    row: int
    other_row: int | None = None
    held_out_row: int | None = None
    message: str
    is_dropped: bool
    new_output: str | None = None
    score: float | None = None
    example: StoredExampleOut
    other_example: StoredExampleOut | None = None


class KindCountOut(Message):
    """The number of findings of one kind."""

    kind: str
    findings: int


class ExaminationReportOut(Message):
    """The result of a data check; only writers see findings and texts of rows."""

    rows: int
    held_out_rows: int
    fold_count: int | None = None
    fixed_rows: Annotated[int, Field(description="Number of rows that the fixes change or leave out.")]
    counts: list[KindCountOut]
    findings: list[FindingOut]


class ExaminationOut(InquiryOut):
    """The state of a tuned model's data check, with the newest report."""

    examined_rows: int | None = None
    total_rows: int | None = None
    report: ExaminationReportOut | None = None


class ExaminationsPage(Message):
    """The newest data check of a tuned model, if there is one."""

    examinations: list[ExaminationOut] | None


def data_check_out(
    name: str,
    progress: Progress | None,
    document: Mapping[str, Any] | None,
    rows: tuple[Sequence[TuningExample], Sequence[TuningExample]] | None,
) -> ExaminationOut:
    """Return the state of a data check; `rows` are examples and held-out rows, None if the caller may not see texts."""
    done, total = done_and_total(progress)
    return ExaminationOut(
        **common(f"{name}/examination", progress, document),
        examined_rows=done,
        total_rows=total,
        report=None if document is None else _report(document, rows),
    )


def _report(
    document: Mapping[str, Any], rows: tuple[Sequence[TuningExample], Sequence[TuningExample]] | None
) -> ExaminationReportOut:
    found = document["findings"]
    counts = Counter(_kind(finding) for finding in found)
    return ExaminationReportOut(
        rows=document["rows"],
        held_out_rows=document["held_out_rows"],
        fold_count=document.get("folds"),  # early reports do not have it
        fixed_rows=fixed_rows([Finding.read(finding) for finding in found]),
        counts=[KindCountOut(kind=kind, findings=count) for kind, count in counts.most_common()],
        findings=[] if rows is None else [_finding(finding, *rows) for finding in found],
    )


def _finding(
    finding: Mapping[str, Any], examples: Sequence[TuningExample], held_out: Sequence[TuningExample]
) -> FindingOut:
    other = None
    if finding["other_row"] is not None:
        other = examples[finding["other_row"] - 1]
    elif finding["held_out_row"] is not None:
        other = held_out[finding["held_out_row"] - 1]
    return FindingOut(
        **{**finding, "kind": _kind(finding)},
        example=_example(examples[finding["row"] - 1]),
        other_example=None if other is None else _example(other),
    )


def _kind(finding: Mapping[str, Any]) -> str:
    """Return a kind as an enum name: NEAR_DUPLICATE."""
    return str(finding["kind"]).replace("-", "_").upper()


def _example(example: TuningExample) -> StoredExampleOut:
    return StoredExampleOut(text_input=example.text_input, output=example.output)
